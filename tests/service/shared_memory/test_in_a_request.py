"""Tensors in shared memory on their way through the data plane."""

import uuid
from pathlib import Path

import numpy as np
import pytest

from bundle import Datatype, TensorSpec
from service.dataplane import DataPlane
from service.errors import RegionInvalid, RegionUnknown
from service.inference import InferenceRequest, Placement, SharedInput
from service.registry import Registry, ServedModel
from service.runner import Computed
from service.shared_memory import Region, Regions
from service.signature import Signature
from service.statistics import ExecutionTimes
from tests.service import tiny

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects


class Doubling(tiny.Runner):
    """Runs, and lets the test do something meanwhile."""

    def __init__(self):
        self.meanwhile = lambda: None
        self.runs = 0

    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        self.runs += 1
        self.meanwhile()
        return Computed(dict.fromkeys(outputs, inputs["x"] * 2), ExecutionTimes(queue=1, compute=1))


@pytest.fixture
def runner():
    return Doubling()


@pytest.fixture
def model(runner):
    spec = [TensorSpec(name=name, datatype="FP32", shape=("n",)) for name in ("x", "y", "z")]
    return ServedModel(
        name="m",
        version=1,
        signature=Signature(inputs=(spec[0],), outputs=(spec[1], spec[2])),
        runner=runner,
        consistency=tiny.consistency("m", 1),
    )


@pytest.fixture
def path():
    made = MEMORY / f"normserve-test-{uuid.uuid4()}"
    made.write_bytes(np.arange(6, dtype="<f4").tobytes())
    yield made
    made.unlink()


@pytest.fixture
def regions(path):
    made = Regions(is_open=True, max_request_bytes=64)
    made.register(Region(name="r", key=path.name, offset=0, byte_size=24))
    return made


@pytest.fixture
def plane(model, regions):
    registry = Registry()
    registry.begin_loading(model.name, model.version)
    registry.finish_loading(model)
    return DataPlane(registry, strict_readiness=True, regions=regions)


def request(*, to=None, region="r"):
    source = Placement(region=region, offset=0, byte_size=8)
    tensor = SharedInput(datatype=Datatype.FP32, shape=(2,), placement=source)
    return InferenceRequest(
        id="i",
        parameters={},
        inputs={},
        outputs=("y", "z"),
        shared_inputs={"x": tensor},
        shared_outputs={"z": to} if to else {},
    )


async def test_it_is_read_before_and_written_after_the_run(plane, model, path):
    to = Placement(region="r", offset=12, byte_size=12)
    reply = await plane.infer(model, request(to=to))
    y, z = reply.outputs
    assert (reply.id, y.placement, y.array.tolist()) == ("i", None, [0, 2])
    assert z.placement == Placement(region="r", offset=12, byte_size=8)
    assert np.fromfile(path, "<f4").tolist() == [0, 1, 2, 0, 2, 5]


async def test_a_region_that_goes_while_it_runs_is_written_still(plane, model, runner, path):
    runner.meanwhile = plane.regions.unregister
    await plane.infer(model, request(to=Placement(region="r", offset=16, byte_size=8)))
    assert np.fromfile(path, "<f4").tolist() == [0, 1, 2, 3, 0, 2]
    with pytest.raises(RegionUnknown):
        await plane.infer(model, request())


async def test_an_object_that_is_cut_while_it_runs_fails_the_request(plane, model, runner, path):
    runner.meanwhile = lambda: path.write_bytes(bytes(8))
    with pytest.raises(RegionInvalid, match="has 8 bytes; 24 are wanted"):
        await plane.infer(model, request(to=Placement(region="r", offset=16, byte_size=8)))
    assert path.read_bytes() == bytes(8)


async def test_nothing_runs_for_an_output_that_has_no_place(plane, model, runner):
    with pytest.raises(RegionUnknown):
        await plane.infer(model, request(to=Placement(region="none", offset=0, byte_size=8)))
    assert runner.runs == 0
