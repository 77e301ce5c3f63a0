import asyncio
from dataclasses import replace

import numpy as np
import pytest

from bundle import TensorSpec
from service.dataplane import DataPlane
from service.errors import InferenceRefused, ModelNotReady, ModelUnknown
from service.inference import InferenceRequest
from service.lifecycle import Service
from service.registry import Registry, ServedModel
from service.runner import Computed
from service.settings import Settings
from service.signature import Signature
from service.statistics import Duration, ExecutionTimes
from tests.service import tiny


class Negating(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        return Computed(dict.fromkeys(outputs, -inputs["x"]), ExecutionTimes(queue=5, compute=7))


async def settled(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not settle")


def spec(name):
    return TensorSpec(name=name, datatype="FP32", shape=("n",))


@pytest.fixture
def registry():
    return Registry()


def add(registry, name="m", version=1):
    signature = Signature(inputs=(spec("x"),), outputs=(spec("b"), spec("a")))
    model = ServedModel(
        name=name,
        version=version,
        signature=signature,
        runner=Negating(),
        consistency=tiny.consistency(name, version),
    )
    registry.begin_loading(name, version)
    registry.finish_loading(model)


async def test_a_reply_names_what_answered_and_keeps_the_models_order(registry):
    add(registry, version=3)
    plane = DataPlane(registry, strict_readiness=True)
    request = InferenceRequest(
        id="i", parameters={}, inputs={"x": np.array([1.0])}, outputs=("b", "a")
    )
    reply = await plane.infer(plane.model("m"), request)
    assert (reply.model_name, reply.model_version, reply.id) == ("m", 3, "i")
    assert [output.spec.name for output in reply.outputs] == ["b", "a"]
    assert reply.outputs[0].array.tolist() == [-1.0]


def test_a_server_is_ready_when_all_is_loaded(registry):
    plane = DataPlane(registry, strict_readiness=True)
    registry.begin_loading("slow", 1)
    add(registry)
    assert plane.readiness().reason == "loading: 1 of 2 model versions are ready"
    registry.fail_loading("slow", 1, reason="no luck")
    plane.mark_loaded()
    assert plane.readiness().reason == "slow version 1 is UNAVAILABLE (no luck)"
    assert DataPlane(registry, strict_readiness=False).readiness().ready is False
    registry.begin_loading("slow", 1)
    registry.fail_loading("slow", 1, reason="no luck")


def test_a_lenient_server_is_ready_without_the_failed(registry):
    registry.begin_loading("slow", 1)
    registry.fail_loading("slow", 1, reason="no luck")
    plane = DataPlane(registry, strict_readiness=False)
    plane.mark_loaded()
    assert plane.readiness().ready


def test_the_readiness_of_a_model_says_why_not(registry):
    plane = DataPlane(registry, strict_readiness=True)
    registry.begin_loading("m", 1)
    assert plane.model_readiness("m").reason == "model 'm' version 1 is LOADING"
    with pytest.raises(ModelNotReady):
        plane.model_metadata("m")
    with pytest.raises(ModelUnknown):
        plane.model_readiness("other")


async def test_a_service_answers_while_it_loads_and_is_ready_after(tmp_path):
    tiny.write_verified(tmp_path, "m")
    async with Service(Settings(repository=tmp_path)) as service:
        assert not service.plane.readiness().ready
        await settled(lambda: service.plane.readiness().ready)
        assert service.plane.model_metadata("m").versions == (1,)


async def test_a_service_can_be_stopped_while_it_loads(tmp_path):
    for number in range(20):
        tiny.write_plain(tmp_path, f"m{number}", tiny.scale(1.0))
    async with Service(Settings(repository=tmp_path, concurrent_runs=1)) as service:
        await asyncio.sleep(0)
    assert not service.plane.readiness().ready


class Refusing(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        raise InferenceRefused("not these")


async def test_requests_are_counted_with_how_they_ended(registry):
    add(registry)
    plane = DataPlane(registry, strict_readiness=True)
    request = InferenceRequest(id=None, parameters={}, inputs={"x": np.ones(1)}, outputs=("b",))
    model = plane.model("m")
    for _ in range(3):
        await plane.infer(model, request)
    with pytest.raises(InferenceRefused):
        await plane.infer(replace(model, runner=Refusing()), request)

    ((counted, seen),) = plane.statistics("m")
    assert (counted.name, seen.inference_count, seen.execution_count) == ("m", 3, 3)
    assert (seen.queue, seen.compute_infer) == (Duration(3, 15), Duration(3, 21))
    assert (seen.success.count, seen.fail.count, counted.recorder.pending) == (3, 1, 0)
    assert seen.last_inference_ms > 1.6e12
    assert plane.statistics() == ((counted, seen),)
    with pytest.raises(ModelUnknown):
        plane.statistics("nobody")


async def test_a_version_that_is_loaded_again_goes_on_counting_and_one_that_was_unloaded_does_not(
    tmp_path,
):
    tiny.write_verified(tmp_path, "m")
    x = np.ones((1, 2), np.float32)
    request = InferenceRequest(id=None, parameters={}, inputs={"x": x}, outputs=("y",))
    async with Service(Settings(repository=tmp_path)) as service:
        plane = service.plane

        async def answered():
            await plane.infer(plane.model("m"), request)
            ((_, seen),) = plane.statistics("m")
            return seen.success.count

        await settled(lambda: plane.readiness().ready)
        assert await answered() == 1
        await service.control.load("m")
        assert await answered() == 2
        await service.control.unload("m")
        await service.control.load("m")
        assert await answered() == 1
