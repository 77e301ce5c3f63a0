import pytest


@pytest.fixture
def repository(tmp_path):
    return tmp_path / "repository"
