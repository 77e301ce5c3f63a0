"""Which versions are served: at the start, after a load, and while one takes another's place."""

import shutil

import pytest

from service.errors import LoadFailed
from service.model_config import read_config
from service.repository import VersionPolicy
from tests.service import tiny
from tests.service.serving import ask, index, service_of

THERE = {1, 2, 9, 10}


def write(folder, *versions, name="m", config=""):
    for version in versions:
        tiny.write_verified(folder, name, version=version, factor=float(version))
    if config:
        tiny.write_config(folder, name, config)


def states(service):
    return {version: state for (_, version), (state, _) in index(service).items()}


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", None),
        ("version_policy { latest {} }", (10,)),
        ("version_policy { latest { num_versions: 2 } }", (9, 10)),
        ("version_policy { latest { num_versions: 99 } }", (1, 2, 9, 10)),
        ("version_policy { all {} }", (1, 2, 9, 10)),
        ("version_policy { specific { versions: [ 9, 1, 9 ] } }", (1, 9)),
        ("version_policy { specific { versions: [ 3 ] } }", (3,)),
    ],
)
def test_a_policy_chooses_by_number(policy, chosen):
    read = VersionPolicy.of_config(read_config(policy))
    assert (read and read.choose(THERE)) == chosen


@pytest.mark.parametrize(
    ("setting", "chosen"), [("latest", (10,)), (2, (9, 10)), ("all", (1, 2, 9, 10))]
)
def test_the_setting_is_for_models_that_say_nothing(setting, chosen):
    assert VersionPolicy.of_setting(setting).choose(THERE) == chosen


@pytest.mark.parametrize("versions", ["", "0", "1, -1"])
async def test_specific_versions_that_cannot_be_make_the_model_unavailable(tmp_path, versions):
    write(tmp_path, 1, config=f"version_policy {{ specific {{ versions: [ {versions} ] }} }}")
    async with service_of(tmp_path) as service:
        state, reason = index(service)["m", 1]
        assert state == "UNAVAILABLE"
        assert "numbers from 1 on" in reason


@pytest.mark.parametrize(
    ("config", "settings", "served"),
    [
        ("", {}, {10}),
        ("", {"version_policy": "all"}, {1, 9, 10}),
        ("", {"version_policy": 2}, {9, 10}),
        ("version_policy { all {} }", {}, {1, 9, 10}),
        ("version_policy { latest { num_versions: 2 } }", {"version_policy": "all"}, {9, 10}),
        ("version_policy { specific { versions: [ 9 ] } }", {}, {9}),
    ],
)
async def test_the_policy_holds_at_the_start(tmp_path, config, settings, served):
    write(tmp_path, 1, 9, 10, config=config)
    async with service_of(tmp_path, **settings) as service:
        assert states(service) == dict.fromkeys(served, "READY")
        assert await ask(service) == (float(max(served)), max(served))


async def test_a_specific_version_that_is_not_there_is_an_error_in_the_index(tmp_path):
    write(tmp_path, 1, config="version_policy { specific { versions: [ 1, 7 ] } }")
    async with service_of(tmp_path) as service:
        assert states(service) == {1: "READY", 7: "UNAVAILABLE"}
        assert "no version 7" in index(service)["m", 7][1]
        assert not service.plane.readiness().ready
        with pytest.raises(LoadFailed, match="version 7"):
            await service.control.load("m")
        assert await ask(service) == (1.0, 1)


async def test_a_newer_version_takes_the_place_of_the_older(tmp_path):
    write(tmp_path, 1)
    async with service_of(tmp_path) as service:
        write(tmp_path, 2)
        await service.control.load("m")
        assert await ask(service) == (2.0, 2)
        assert states(service) == {2: "READY"}


async def test_a_newer_version_that_fails_leaves_the_older_answering_and_says_why(tmp_path):
    write(tmp_path, 1)
    async with service_of(tmp_path) as service:
        tiny.write_verified(tmp_path, "m", version=2, factor=2.0, says=3.0)
        with pytest.raises(LoadFailed, match="version 2: output 'y'"):
            await service.control.load("m")
        assert await ask(service) == (1.0, 1)
        assert index(service)["m", 1] == ("READY", "it stays until version 2 can answer")
        assert states(service)[2] == "UNAVAILABLE"
        assert "version 2 is UNAVAILABLE" in service.plane.readiness().reason
        write(tmp_path, 3)
        await service.control.load("m")
        assert states(service) == {3: "READY"}
        assert service.plane.readiness().ready


async def test_the_last_version_stays_while_nothing_can_take_its_place_even_if_it_is_gone(tmp_path):
    write(tmp_path, 1)
    async with service_of(tmp_path) as service:
        shutil.rmtree(tmp_path / "m" / "1")
        tiny.write_plain(tmp_path, "m", b"no model", version=2)
        with pytest.raises(LoadFailed):
            await service.control.load("m")
        assert await ask(service) == (1.0, 1)


async def test_versions_that_are_gone_go_though_another_one_fails(tmp_path):
    write(tmp_path, 1, 2, config="version_policy { all {} }")
    async with service_of(tmp_path) as service:
        shutil.rmtree(tmp_path / "m" / "1")
        tiny.write_plain(tmp_path, "m", b"no model", version=3)
        with pytest.raises(LoadFailed):
            await service.control.load("m")
        assert states(service) == {2: "READY", 3: "UNAVAILABLE"}


async def test_a_policy_that_changes_holds_at_the_next_load(tmp_path):
    write(tmp_path, 1, 2, 3, config="version_policy { all {} }")
    async with service_of(tmp_path) as service:
        tiny.write_config(tmp_path, "m", "version_policy { specific { versions: [ 1 ] } }")
        await service.control.load("m")
        assert states(service) == {1: "READY"}
        assert await ask(service) == (1.0, 1)


async def test_a_configuration_that_cannot_be_read_makes_the_model_unavailable(tmp_path):
    write(tmp_path, 1, 2, config="max_batch_size: many")
    async with service_of(tmp_path) as service:
        state, reason = index(service)["m", 2]
        assert state == "UNAVAILABLE"
        assert "config.pbtxt cannot be read: 1:17" in reason


async def test_what_failed_is_no_reason_not_to_be_ready_once_the_model_is_unloaded(tmp_path):
    tiny.write_plain(tmp_path, "m", b"no model")
    async with service_of(tmp_path) as service:
        assert not service.plane.readiness().ready
        await service.control.unload("m")
        assert service.plane.readiness().ready
        assert index(service)["m", 1] == ("UNAVAILABLE", "unloaded")
