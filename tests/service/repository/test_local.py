"""What a folder of models has that is no model: passed by, and told."""

import pytest
from structlog.testing import capture_logs

from service.repository.local import LocalRepository
from service.repository.policy import VersionPolicy
from tests.service import tiny


@pytest.mark.parametrize("path", ["m/model.onnx", "m/v1/model.onnx", "m/01/model.onnx", "m/1/x"])
def test_a_folder_without_a_version_is_no_model_and_the_log_says_what_was_wanted(tmp_path, path):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.touch()
    with capture_logs() as logs:
        assert LocalRepository(tmp_path, default=VersionPolicy()).plan("m") is None
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("folder without a version", "warning")
    assert line["wanted"].startswith("m/<version>/model.onnx")


def test_a_model_and_a_folder_that_is_not_there_need_no_word(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    repository = LocalRepository(tmp_path, default=VersionPolicy())
    with capture_logs() as logs:
        assert repository.plan("m") is not None
        assert repository.plan("gone") is None
        assert repository.plan("../m") is None
    assert logs == []
