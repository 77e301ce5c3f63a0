import threading

import pytest

from service.errors import ModelNotReady, ModelUnknown, VersionUnknown
from service.registry import Registry, ServedModel, State
from service.signature import Signature
from tests.service import tiny


class NoRunner(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        raise NotImplementedError


def model(version, name="m"):
    return ServedModel(
        name=name,
        version=version,
        signature=Signature(inputs=(), outputs=()),
        runner=NoRunner(),
        consistency=tiny.consistency(name, version),
    )


def registry_of(*ready):
    registry = Registry()
    for version in ready:
        registry.begin_loading("m", version)
        registry.finish_loading(model(version))
    return registry


def test_the_latest_version_is_the_highest_number_not_the_last_word():
    assert registry_of(9, 10, 2).find("m").version == 10


def test_a_version_is_found_by_its_number():
    assert registry_of(1, 2).find("m", 1).version == 1


def test_a_version_that_is_loading_does_not_answer_and_hides_no_other():
    registry = registry_of(1)
    registry.begin_loading("m", 2)
    assert registry.find("m").version == 1
    with pytest.raises(ModelNotReady, match="version 2 is LOADING"):
        registry.find("m", 2)


def test_a_version_that_failed_says_why():
    registry = Registry()
    registry.begin_loading("m", 1)
    registry.fail_loading("m", 1, reason="its digest is wrong")
    for version in (None, 1):
        with pytest.raises(ModelNotReady, match="UNAVAILABLE: its digest is wrong"):
            registry.find("m", version)
    assert [entry.state for entry in registry.entries()] == [State.UNAVAILABLE]


def test_what_is_not_there_is_not_found():
    registry = registry_of(1, 3)
    with pytest.raises(ModelUnknown, match="no model 'other'"):
        registry.find("other")
    with pytest.raises(VersionUnknown, match="no version 2; it has 1, 3"):
        registry.find("m", 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda registry: registry.finish_loading(model(2)),
        lambda registry: registry.fail_loading("m", 2, reason="r"),
        lambda registry: registry.begin_loading("m", 1),
        lambda registry: registry.fail_loading("m", 1, reason="r"),
    ],
)
def test_a_state_that_cannot_follow_is_a_bug(wrong):
    with pytest.raises(ValueError, match="cannot go from"):
        wrong(registry_of(1))


def test_a_version_that_failed_can_be_loaded_again():
    registry = Registry()
    registry.begin_loading("m", 1)
    registry.fail_loading("m", 1, reason="r")
    registry.begin_loading("m", 1)
    registry.finish_loading(model(1))
    assert registry.find("m").version == 1


def test_threads_that_load_at_once_lose_nothing():
    registry = Registry()
    start = threading.Barrier(8)

    def load(name):
        start.wait()
        for version in range(1, 50):
            registry.begin_loading(name, version)
            registry.finish_loading(model(version, name))

    threads = [threading.Thread(target=load, args=(f"m{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.entries()) == 8 * 49


def test_a_version_that_is_not_in_the_repository_any_more_is_forgotten():
    registry = Registry()
    registry.begin_loading("m", 1)
    with pytest.raises(ValueError, match="is LOADING"):
        registry.remove("m", 1)
    registry.fail_loading("m", 1, reason="no luck")
    registry.remove("m", 1)
    registry.remove("m", 1)  # what nobody knows need not be forgotten
    assert registry.entries() == ()
    with pytest.raises(ModelUnknown):
        registry.versions("m")


def test_whoever_follows_it_is_told_of_every_change_and_finds_it_made():
    registry = registry_of(1)
    seen = []
    registry.follow(lambda: seen.append([entry.state for entry in registry.entries()]))
    registry.begin_unloading("m", 1)
    registry.finish_unloading("m", 1)
    registry.remove("m", 1)
    assert seen == [[State.UNLOADING], [State.UNAVAILABLE], []]
