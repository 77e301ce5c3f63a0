from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from bundle import Finding, ProviderPolicy
from bundle.checks import Subject
from normserve.served import Item, ServerFailed, Staged
from normserve.validate import serving
from normserve.validate.plan import Notes, Plan
from normserve.validate.selection import Selection
from tests.normserve.validate.cases import save, scaling

PLAN = Plan(Selection(), ProviderPolicy.CPU, threads=1, seconds=1.0)


@pytest.fixture
def servers(monkeypatch):
    """Servers that end as soon as there is a model called "deadly"; the others pass."""
    started = []

    @contextmanager
    def server_of(repository, *, policy, threads):
        models = sorted(path.name for path in repository.iterdir())
        started.append(models)
        yield SimpleNamespace(models=models)

    def check_served(server, item):
        if "deadly" in server.models:
            raise ServerFailed("the server ended while it was asked")
        return Finding(
            check="as-served", status="pass", measured=0.0, tolerance=None, meaning="fine"
        )

    monkeypatch.setattr(serving, "server_of", server_of)
    monkeypatch.setattr(serving, "check_served", check_served)
    return started


def served(folder, *names):
    servings = []
    for name in names:
        staged = Staged.of(save(scaling(), folder / name / "1" / "model.onnx").parent)
        item = Item(staged, Subject(model=staged.source / "model.onnx"))
        servings.append(serving.Serving(name, item, Notes()))
    told = []
    serving.serve_together(servings, PLAN, told.append)
    return {each.title: each.notes.found[0] for each in servings}, told


def test_one_server_is_for_all_of_them(tmp_path, servers):
    found, told = served(tmp_path, "a", "b")
    assert [each.status for each in found.values()] == ["pass", "pass"]
    assert servers == [["a", "b"]]
    assert told == ["a", "b"]


def test_a_model_that_ends_the_server_does_not_stand_for_the_others(tmp_path, servers):
    found, _ = served(tmp_path, "a", "deadly", "b")
    assert {name: each.status for name, each in found.items()} == {
        "a": "pass",
        "deadly": "fail",
        "b": "pass",
    }
    assert "the server ended" in found["deadly"].meaning
    assert servers == [["a", "b", "deadly"], ["a"], ["deadly"], ["b"]]
