"""Models that are loaded, replaced and removed while the service answers."""

import asyncio
import shutil

import pytest

from service.errors import (
    LoadFailed,
    ModelNotReady,
    ModelUnknown,
    OperationForbidden,
    VersionUnknown,
)
from service.lifecycle import Service
from service.settings import Settings
from tests.service import tiny
from tests.service.serving import ask, index, service_of


def state(service, name="m", version=1):
    return index(service)[name, version]


async def test_a_model_that_came_later_is_loaded(tmp_path):
    async with service_of(tmp_path) as service:
        with pytest.raises(ModelUnknown):
            await service.control.load("m")
        tiny.write_verified(tmp_path, "m", factor=3.0)
        await service.control.load("m")
        assert await ask(service) == (3.0, 1)


async def test_a_replacement_answers_at_once_and_a_new_version_beside_the_old(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    async with service_of(tmp_path) as service:
        shutil.rmtree(tmp_path / "m")
        tiny.write_verified(tmp_path, "m", factor=5.0)
        tiny.write_verified(tmp_path, "m", version=2, factor=7.0)
        tiny.write_config(tmp_path, "m", "version_policy { all {} }")
        await service.control.load("m")
        assert await ask(service) == (7.0, 2)
        assert await ask(service, version=1) == (5.0, 1)


async def test_a_replacement_that_fails_leaves_the_old_one_answering_and_says_why(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    async with service_of(tmp_path) as service:
        (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"no model")
        with pytest.raises(LoadFailed, match="version 1"):
            await service.control.load("m")
        assert await ask(service) == (2.0, 1)
        assert state(service)[0] == "READY"
        assert "a replacement failed" in state(service)[1]


async def test_versions_that_are_gone_from_the_repository_are_unloaded(tmp_path):
    for version in (1, 2):
        tiny.write_verified(tmp_path, "m", version=version, factor=float(version))
    async with service_of(tmp_path) as service:
        shutil.rmtree(tmp_path / "m" / "2")
        await service.control.load("m")
        assert await ask(service) == (1.0, 1)
        assert [entry.version for entry in service.plane.index()] == [1]
        with pytest.raises(VersionUnknown):
            service.plane.model("m", 2)


async def test_what_was_unloaded_is_unknown_and_no_reason_not_to_be_ready(tmp_path):
    tiny.write_verified(tmp_path, "m")
    async with service_of(tmp_path) as service:
        await service.control.unload("m")
        with pytest.raises(ModelUnknown, match="unloaded"):
            service.plane.model("m")
        assert service.plane.readiness().ready
        await service.control.unload("m")  # again, and one that never was: no error
        await service.control.unload("nobody")
        await service.control.load("m")
        assert (await ask(service))[1] == 1


async def test_unloading_waits_for_the_requests_that_have_begun(tmp_path):
    tiny.write_plain(tmp_path, "slow", tiny.slow(40))
    async with service_of(tmp_path) as service:
        model = service.plane.model("slow")
        request = model.recorder.begin()
        unloading = asyncio.create_task(service.control.unload("slow"))
        await asyncio.sleep(0)
        await asyncio.to_thread(tiny.wait_for, lambda: state(service, "slow")[0] == "UNLOADING")
        with pytest.raises(ModelUnknown):
            service.plane.model("slow")
        assert not unloading.done()
        with request:
            pass
        await unloading
        assert state(service, "slow")[0] == "UNAVAILABLE"


async def test_changes_of_one_model_follow_one_another_and_the_last_one_wins(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    async with service_of(tmp_path) as service:
        await asyncio.gather(
            *(
                service.control.unload("m") if number % 2 else service.control.load("m")
                for number in range(9)
            )
        )
        assert await ask(service) == (2.0, 1)


async def test_models_that_may_not_be_changed_are_not(tmp_path):
    tiny.write_verified(tmp_path, "m")
    async with service_of(tmp_path, model_control="none") as service:
        for change in (service.control.load, service.control.unload):
            with pytest.raises(OperationForbidden, match="model control 'none'"):
                await change("m")
        assert (await ask(service))[1] == 1


async def test_no_request_fails_and_none_is_answered_by_a_mixture_while_models_are_replaced(
    tmp_path,
):
    tiny.write_verified(tmp_path, "m", version=1, factor=1.0)
    async with service_of(tmp_path) as service:
        answers = []
        done = asyncio.Event()

        async def client():
            while not done.is_set():
                answers.append(await ask(service))

        clients = [asyncio.create_task(client()) for _ in range(8)]
        for version in range(2, 32):
            tiny.write_verified(tmp_path, "m", version=version, factor=float(version))
            shutil.rmtree(tmp_path / "m" / str(version - 1))
            await service.control.load("m")
        done.set()
        await asyncio.gather(*clients)
        assert len(answers) > 100
        assert all(factor == version for factor, version in answers)
        assert {version for _, version in answers} >= {1, 31}


async def test_a_load_that_comes_while_the_model_is_loaded_at_the_start_waits_its_turn(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    settings = Settings(repository=tmp_path, consistency_at_load=False)
    async with Service(settings) as service:
        await asyncio.gather(*(service.control.load("m") for _ in range(3)))
        assert await ask(service) == (2.0, 1)


async def test_names_that_nobody_knows_leave_nothing_behind(tmp_path):
    async with service_of(tmp_path) as service:
        for name in ("nobody", "..", "a/b", "", "\0", "x" * 300, "\ud800"):
            await service.control.unload(name)
            with pytest.raises(ModelUnknown):
                await service.control.load(name)
        assert index(service) == {}


async def test_a_version_that_never_was_stays_unknown(tmp_path):
    tiny.write_verified(tmp_path, "m")
    async with service_of(tmp_path) as service:
        with pytest.raises(VersionUnknown):
            service.plane.model("m", 5)
        with pytest.raises((ModelUnknown, ModelNotReady)):
            service.plane.model("other")


async def test_a_change_ends_though_whoever_asked_for_it_has_gone(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=1.0)
    async with service_of(tmp_path) as service:
        for version in range(2, 12):
            tiny.write_verified(tmp_path, "m", version=version, factor=float(version))
            asked = asyncio.create_task(service.control.load("m"))
            await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
        await service.control.load("m")
        assert index(service) == {("m", 11): ("READY", "")}
        assert await ask(service) == (11.0, 11)
