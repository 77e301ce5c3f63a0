import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import (
    OperationForbidden,
    ParameterInvalid,
    RegionExists,
    RegionInvalid,
    RegionUnknown,
)
from service.inference import Placement
from service.shared_memory import Region, Regions

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects


@pytest.fixture
def region():
    path = MEMORY / f"normserve-test-{uuid.uuid4()}"
    path.write_bytes(b"0123456789")
    yield Region(name="r", key=path.name, offset=2, byte_size=6)
    path.unlink()


@pytest.fixture
def regions(region):
    made = Regions(is_open=True)
    made.register(region)
    return made


def test_a_region_is_found_by_its_name_and_among_all(regions, region):
    other = replace(region, name="other")
    regions.register(other)
    assert regions.find() == (region, other)
    assert regions.find("other") == (other,)
    with pytest.raises(RegionUnknown, match="'none'"):
        regions.find("none")


def test_a_tensor_lies_behind_both_offsets(regions):
    stretch = regions.claim(Placement(region="r", offset=1, byte_size=3))
    assert bytes(stretch.read()) == b"345"


@pytest.mark.parametrize(("offset", "byte_size"), [(0, 7), (6, 1), (7, 0), (2**80, 2**80)])
def test_a_tensor_that_is_not_within_its_region_is_refused(regions, offset, byte_size):
    with pytest.raises(RegionInvalid, match=f"has 6 bytes; {byte_size} from {offset} on"):
        regions.claim(Placement(region="r", offset=offset, byte_size=byte_size))


def test_what_was_claimed_outlives_the_region(regions):
    stretch = regions.claim(Placement(region="r", offset=0, byte_size=2))
    regions.unregister("r")
    assert bytes(stretch.read()) == b"23"
    with pytest.raises(RegionUnknown, match="register it first"):
        regions.claim(stretch.placement)


def test_there_is_room_for_what_the_request_and_the_object_have_room_for(regions, region):
    stretch = regions.claim(Placement(region="r", offset=4, byte_size=2))
    stretch.require_room(2)
    with pytest.raises(
        RegionInvalid, match=r"2 bytes of shared memory region 'r' are for.*3 bytes"
    ):
        stretch.require_room(3)
    (MEMORY / region.key).write_bytes(b"0123456")
    with pytest.raises(RegionInvalid, match="has 7 bytes; 8 are wanted"):
        stretch.require_room(2)


def test_unregistering_what_is_not_there_is_no_error(regions):
    regions.unregister("none")
    regions.unregister()
    regions.unregister()
    assert regions.find() == ()


def test_a_name_is_taken_once(regions, region):
    with pytest.raises(RegionExists, match="'r' is registered already"):
        regions.register(replace(region, offset=0))
    regions.unregister("r")
    regions.register(region)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "a name of 1 to 255"),
        ({"name": "x" * 256}, "a name of 1 to 255"),
        ({"byte_size": 0}, "byte_size of 0"),
        ({"byte_size": 9}, "has 10 bytes; 11 are wanted"),
        ({"offset": 2**64}, "has 10 bytes"),
        ({"key": "/no such object"}, "cannot be opened: No such file"),
    ],
)
def test_a_region_that_cannot_be_is_refused_and_forgotten(regions, region, change, says):
    with pytest.raises(RegionInvalid, match=says):
        regions.register(replace(region, **({"name": "new"} | change)))
    assert regions.find() == (region,)


def test_only_so_many_regions_are_taken(regions, region):
    for number in range(255):
        regions.register(replace(region, name=str(number)))
    with pytest.raises(RegionInvalid, match=r"256 .* as many as may be"):
        regions.register(replace(region, name="one more"))


def test_nothing_is_shared_while_it_is_off(region):
    regions = Regions(is_open=False)
    with pytest.raises(OperationForbidden, match="NORMSERVE_CLIENT_SHARED_MEMORY"):
        regions.register(region)
    with pytest.raises(ParameterInvalid, match="does not offer shared memory"):
        regions.claim(Placement(region="r", offset=0, byte_size=1))
    regions.unregister()
    assert regions.find() == ()
