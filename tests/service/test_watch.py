"""A repository that is followed: what is new, changed or gone is taken up, once it has settled."""

import asyncio
import shutil

import pytest

from service.errors import ModelUnknown
from service.repository import LocalRepository, VersionPolicy
from service.watch import RepositoryWatch
from tests.service import tiny
from tests.service.serving import ask, index, service_of, settle

POLL = {"model_control": "poll", "poll_seconds": 0.1}


class Asked:
    """Takes the names of what is to be looked at."""

    def __init__(self):
        self.names = []

    async def __call__(self, name):
        self.names.append(name)

    def taken(self):
        names, self.names = sorted(self.names), []
        return names


@pytest.fixture
def asked():
    return Asked()


@pytest.fixture
def watch(tmp_path, asked):
    return RepositoryWatch(LocalRepository(tmp_path, default=VersionPolicy()), refresh=asked)


async def test_everything_is_looked_at_once(tmp_path, watch, asked):
    tiny.write_verified(tmp_path, "a")
    tiny.write_verified(tmp_path, "b")
    await watch.load_all()
    assert asked.taken() == ["a", "b"]
    await watch.look_once()
    await watch.look_once()
    assert asked.taken() == []


async def test_a_change_is_one_once_two_looks_have_seen_the_same(tmp_path, watch, asked):
    tiny.write_verified(tmp_path, "m")
    await watch.load_all()
    asked.taken()
    folder = tiny.write_plain(tmp_path, "new", tiny.scale(2.0))
    await watch.look_once()
    assert asked.taken() == []  # it may be half of it
    (folder / "model.onnx.data").write_bytes(b"the other half")
    await watch.look_once()
    assert asked.taken() == []
    await watch.look_once()
    assert asked.taken() == ["new"]
    await watch.look_once()
    assert asked.taken() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "config.pbtxt").write_text("version_policy { all {} }"),
        lambda folder: (folder / "labels.txt").write_text("cat"),
        lambda folder: tiny.write_verified(folder.parent, folder.name, version=2),
        lambda folder: (folder / "1" / "model.onnx").write_bytes(b"other"),
        lambda folder: (folder / "1" / "model.onnx").unlink(),
        shutil.rmtree,
    ],
)
async def test_whatever_changes_of_a_model_is_seen(tmp_path, watch, asked, change):
    tiny.write_verified(tmp_path, "m")
    tiny.write_verified(tmp_path, "other")
    await watch.load_all()
    asked.taken()
    change(tmp_path / "m")
    await watch.look_once()
    await watch.look_once()
    assert asked.taken() == ["m"]


async def test_what_is_hidden_is_not_seen(tmp_path, watch, asked):
    tiny.write_verified(tmp_path, "m")
    await watch.load_all()
    asked.taken()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "m" / ".tmp-1").mkdir()
    (tmp_path / "m" / ".tmp-1" / "model.onnx").touch()
    await watch.look_once()
    await watch.look_once()
    assert asked.taken() == []


async def test_a_repository_that_cannot_be_read_for_a_while_takes_nothing_away(
    tmp_path, watch, asked
):
    repository = tmp_path / "models"
    tiny.write_verified(repository, "m")
    watch = RepositoryWatch(LocalRepository(repository, default=VersionPolicy()), refresh=asked)
    await watch.load_all()
    asked.taken()
    repository.rename(tmp_path / "away")
    await watch.look_once()
    await watch.look_once()
    assert asked.taken() == []
    (tmp_path / "away").rename(repository)
    await watch.look_once()
    await watch.look_once()
    assert asked.taken() == []


async def test_a_look_that_fails_costs_no_other(tmp_path, asked):
    async def refresh(name):
        if name == "a":
            raise RuntimeError("nobody knew")
        await asked(name)

    for name in ("a", "b"):
        tiny.write_verified(tmp_path, name)
    await RepositoryWatch(
        LocalRepository(tmp_path, default=VersionPolicy()), refresh=refresh
    ).load_all()
    assert asked.taken() == ["b"]


async def test_models_come_change_and_go_with_the_repository(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=1.0)
    tiny.write_verified(tmp_path, "gone", factor=1.0)
    async with service_of(tmp_path, **POLL) as service:
        tiny.write_verified(tmp_path, "m", version=2, factor=2.0)
        tiny.write_verified(tmp_path, "new", factor=3.0)
        shutil.rmtree(tmp_path / "gone")
        await settle(lambda: index(service) == {("m", 2): ("READY", ""), ("new", 1): ("READY", "")})
        assert await ask(service) == (2.0, 2)
        with pytest.raises(ModelUnknown):
            await ask(service, "gone")


async def test_what_has_not_changed_is_not_loaded_again_and_what_failed_is_not_tried_again(
    tmp_path,
):
    tiny.write_verified(tmp_path, "m", version=1, factor=1.0)
    tiny.write_config(tmp_path, "m", "version_policy { all {} }")
    async with service_of(tmp_path, **POLL) as service:
        first = service.plane.model("m", 1)
        tiny.write_verified(tmp_path, "m", version=2, factor=2.0, says=5.0)
        await settle(lambda: ("m", 2) in index(service))
        await settle(lambda: index(service)["m", 2][0] == "UNAVAILABLE")
        failed = next(e for e in service.plane.index() if e.version == 2)
        tiny.write_verified(tmp_path, "other", factor=3.0)
        await settle(lambda: ("other", 1) in index(service))
        assert service.plane.model("m", 1) is first
        assert next(e for e in service.plane.index() if (e.name, e.version) == ("m", 2)) is failed
        shutil.rmtree(tmp_path / "m" / "2")
        tiny.write_verified(tmp_path, "m", version=2, factor=2.0)
        await settle(lambda: index(service)["m", 2] == ("READY", ""))
        assert service.plane.model("m", 1) is first


async def test_what_a_client_has_unloaded_stays_so_until_it_changes(tmp_path):
    tiny.write_verified(tmp_path, "m", version=1, factor=1.0)
    async with service_of(tmp_path, **POLL) as service:
        await service.control.unload("m")
        tiny.write_verified(tmp_path, "other", factor=3.0)
        await settle(lambda: ("other", 1) in index(service))
        assert index(service)["m", 1] == ("UNAVAILABLE", "unloaded")
        tiny.write_verified(tmp_path, "m", version=2, factor=2.0)
        await settle(lambda: index(service).get(("m", 2)) == ("READY", ""))


async def test_a_server_that_does_not_follow_its_repository_loads_what_it_is_told(tmp_path):
    async with service_of(tmp_path) as service:
        tiny.write_verified(tmp_path, "m")
        assert index(service) == {}
        await service.control.load("m")
        assert index(service) == {("m", 1): ("READY", "")}


async def test_a_model_that_takes_long_to_load_keeps_no_other_from_being_looked_at(tmp_path):
    asked, is_over = [], asyncio.Event()

    async def refresh(name):
        asked.append(name)
        if name == "slow":
            await is_over.wait()

    watch = RepositoryWatch(LocalRepository(tmp_path, default=VersionPolicy()), refresh=refresh)
    await watch.load_all()
    following = asyncio.create_task(watch.follow(every_s=0.01))
    for name in ("slow", "other"):
        tiny.write_verified(tmp_path, name)
        await asyncio.wait_for(until(lambda name=name: name in asked), 10)
    following.cancel()
    await asyncio.wait([following])
    assert following.cancelled()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for is a list that grows
        await asyncio.sleep(0.01)
