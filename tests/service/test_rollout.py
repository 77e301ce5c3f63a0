"""What is served becomes what was planned, whatever happens to a model's process meanwhile."""

import asyncio

import pytest

from service.errors import LoadFailed
from service.registry import Registry, ServedModel
from service.repository import VersionPolicy, make_plan
from service.rollout import Rollout
from service.signature import Signature
from tests.service import tiny


class Runner:
    def __init__(self):
        self.closed = 0
        self.is_closed = asyncio.Event()

    async def close(self):
        self.closed += 1
        self.is_closed.set()


class Loader:
    """Loads at once, unless a test holds it back or has it fail."""

    def __init__(self):
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.may_end.set()
        self.fails = False

    async def load_beside(self, version):
        self.begun.set()
        await self.may_end.wait()
        if self.fails:
            raise LoadFailed("no luck")
        folder = version.folder
        return ServedModel(
            name=folder.name,
            version=folder.version,
            signature=Signature(inputs=(), outputs=()),
            runner=Runner(),
            consistency=tiny.consistency(folder.name, folder.version),
            properties={"provider": "none"},
        )


class Bystander:
    """The examiner and the canary, which have nothing to do here."""

    def recall(self, _):
        pass

    establish = forget = recall


class Scene:
    """A model with one version that answers."""

    def __init__(self, folder):
        self.folder = folder
        self.registry, self.loader = Registry(), Loader()
        self.rollout = Rollout(
            registry=self.registry,
            loader=self.loader,
            examiner=Bystander(),
            canary=Bystander(),
            drain_s=10,
        )
        tiny.write_plain(folder, "m", tiny.scale(2.0))

    async def load(self):
        plan = make_plan(self.folder / "m", default=VersionPolicy())
        return await self.rollout.carry_out(plan, anew=True)

    def entry(self):
        (entry,) = self.registry.entries()
        return entry

    async def during_a_load(self, happens):
        """Have something happen while the next one is being loaded."""
        self.loader.begun.clear()
        self.loader.may_end.clear()
        loading = asyncio.create_task(self.load())
        await self.loader.begun.wait()
        happens()
        self.loader.may_end.set()
        return await loading


@pytest.fixture
async def scene(tmp_path):
    made = Scene(tmp_path)
    assert await made.load() == ()
    return made


async def test_a_replacement_takes_the_place_of_one_whose_process_ended_meanwhile(scene):
    before = scene.registry.find("m")
    assert await scene.during_a_load(lambda: scene.registry.suspend(before, "it ended")) == ()
    assert scene.registry.find("m") is not before
    scene.registry.resume(before)  # too late
    assert scene.registry.find("m") is not before
    await before.runner.is_closed.wait()


async def test_one_whose_process_ended_while_its_replacement_failed_comes_back(scene):
    before = scene.registry.find("m")
    scene.loader.fails = True
    reasons = await scene.during_a_load(lambda: scene.registry.suspend(before, "it ended"))
    assert reasons == ("version 1: no luck",)
    assert scene.entry().reason == "it ended"
    scene.registry.resume(before)
    assert scene.registry.find("m") is before


async def test_one_whose_process_has_ended_is_loaded_like_one_that_was_not_there(scene):
    before = scene.registry.find("m")
    scene.registry.suspend(before, "it ended")
    assert await scene.load() == ()
    assert scene.registry.find("m") is not before


async def test_one_that_is_unloaded_while_its_process_is_gone_does_not_come_back(scene):
    before = scene.registry.find("m")
    scene.registry.suspend(before, "it ended")
    await scene.rollout.withdraw("m")
    scene.registry.resume(before)
    assert (scene.entry().state, scene.entry().reason) == ("UNAVAILABLE", "unloaded")
    assert scene.entry().model is None


@pytest.mark.parametrize("forget", [True, False])
async def test_what_is_withdrawn_is_closed_once(scene, forget):
    before = scene.registry.find("m")
    scene.registry.suspend(before, "it ended")
    await scene.rollout.withdraw("m", forget=forget)
    await before.runner.is_closed.wait()
    assert before.runner.closed == 1


async def test_what_is_replaced_is_closed_when_its_requests_have_their_answers(scene):
    before = scene.registry.find("m")
    with before.recorder.begin():
        await scene.load()
        assert not before.runner.is_closed.is_set()
    await before.runner.is_closed.wait()
