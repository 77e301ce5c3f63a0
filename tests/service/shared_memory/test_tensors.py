import uuid
from pathlib import Path

import numpy as np
import pytest

from bundle import Datatype
from bundle.tensors import TensorSpec
from service.errors import BodyTooLarge, RegionInvalid, RegionUnknown, TensorInvalid
from service.inference import InferenceRequest, OutputTensor, Placement, SharedInput
from service.shared_memory import Region, Regions, claim

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects
SIZE = 2**20


@pytest.fixture
def path():
    made = MEMORY / f"normserve-test-{uuid.uuid4()}"
    made.write_bytes(bytes(range(256)) * (SIZE // 256))
    yield made
    made.unlink()


@pytest.fixture
def regions(path):
    made = Regions(is_open=True, max_request_bytes=SIZE)
    made.register(Region(name="r", key=path.name, offset=0, byte_size=SIZE))
    return made


def at(offset, byte_size, region="r"):
    return Placement(region=region, offset=offset, byte_size=byte_size)


def request(*, inputs=(), outputs=()):
    shared = {
        name: SharedInput(datatype=Datatype.UINT8, shape=shape, placement=placement)
        for name, shape, placement in inputs
    }
    return InferenceRequest(
        id=None,
        parameters={},
        inputs={},
        outputs=("y", "z"),
        shared_inputs=shared,
        shared_outputs=dict(outputs),
    )


def output(name, values):
    spec = TensorSpec(name=name, datatype="UINT8", shape=("n",))
    return OutputTensor(spec, np.array(values, np.uint8))


@pytest.mark.parametrize("size", [4, SIZE // 2])
async def test_inputs_are_copies(regions, path, size):
    shared = claim(regions, request(inputs=[("x", (size,), at(2, size))]))
    read = await shared.read()
    path.write_bytes(bytes(SIZE))
    assert read["x"][:4].tolist() == [2, 3, 4, 5]
    assert read["x"].shape == (size,)


async def test_an_input_of_another_size_is_refused(regions):
    shared = claim(regions, request(inputs=[("x", (2, 2), at(0, 5))]))
    with pytest.raises(TensorInvalid, match=r"5 bytes.*shape \(2, 2\) wants 4"):
        await shared.read()


def test_all_inputs_together_are_held_to_the_limit(regions):
    half = SIZE // 2
    claim(regions, request(inputs=[("a", (half,), at(0, half)), ("b", (half,), at(half, half))]))
    with pytest.raises(BodyTooLarge, match=f"takes {SIZE}"):
        claim(regions, request(inputs=[("a", (half,), at(0, half)), ("b", (SIZE,), at(0, SIZE))]))


def test_a_place_that_is_not_there_is_refused_before_anything_is_computed(regions):
    with pytest.raises(RegionUnknown, match="'other'"):
        claim(regions, request(outputs=[("y", at(0, 1, "other"))]))
    with pytest.raises(RegionInvalid, match="past its end"):
        claim(regions, request(outputs=[("y", at(SIZE, 1))]))


@pytest.mark.parametrize("room", [4, SIZE // 2])
async def test_outputs_are_written_and_say_where_they_are(regions, path, room):
    shared = claim(regions, request(outputs=[("z", at(8, room))]))
    y, z = await shared.write([output("y", [1, 2]), output("z", [7, 7, 7])])
    assert path.read_bytes()[6:13] == bytes([6, 7, 7, 7, 7, 11, 12])
    assert (y.placement, z.placement) == (None, at(8, 3))


async def test_nothing_is_written_unless_everything_fits(regions, path):
    before = path.read_bytes()
    shared = claim(regions, request(outputs=[("y", at(0, 2)), ("z", at(8, 2))]))
    with pytest.raises(RegionInvalid, match="are for an output of 3 bytes"):
        await shared.write([output("y", [9, 9]), output("z", [9, 9, 9])])
    assert path.read_bytes() == before


async def test_unregistering_disturbs_no_request_that_has_begun(regions, path):
    shared = claim(
        regions, request(inputs=[("x", (2,), at(0, 2))], outputs=[("y", at(0, 2)), ("z", at(4, 2))])
    )
    regions.unregister()
    assert (await shared.read())["x"].tolist() == [0, 1]
    await shared.write([output("y", [9, 8]), output("z", [7, 6])])
    assert path.read_bytes()[:6] == bytes([9, 8, 2, 3, 7, 6])
