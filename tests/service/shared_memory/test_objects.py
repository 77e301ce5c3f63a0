import os
import uuid
from pathlib import Path

import pytest

from service.errors import RegionInvalid
from service.shared_memory.objects import SharedObject

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects


@pytest.fixture
def path():
    made = MEMORY / f"normserve-test-{uuid.uuid4()}"
    made.write_bytes(b"0123456789")
    yield made
    made.unlink(missing_ok=True)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def memory(path):
    return SharedObject(f"/{path.name}")


def test_what_it_gives_is_a_copy(memory, path):
    copy = memory.read(2, 4)
    path.write_bytes(b"----------")
    assert bytes(copy) == b"2345"
    assert copy.readonly


def test_what_is_written_is_seen_by_whoever_shares_it(memory, path):
    memory.write(3, b"abc")
    memory.write(9, memoryview(b"z"))
    memory.write(10, b"")
    assert path.read_bytes() == b"012abc678z"


def test_nothing_is_read_beyond_its_end(memory, path):
    assert bytes(memory.read(10, 0)) == b""
    with pytest.raises(RegionInvalid, match="has 10 bytes; 11 are wanted"):
        memory.read(7, 4)
    os.truncate(path, 3)
    with pytest.raises(RegionInvalid, match="has 3 bytes; 4 are wanted"):
        memory.read(0, 4)
    with pytest.raises(RegionInvalid, match="has 3 bytes; 9 are wanted"):
        memory.read(8, 1)


def test_nothing_is_written_beyond_its_end(memory, path):
    with pytest.raises(RegionInvalid, match="has 10 bytes; 11 are wanted"):
        memory.write(9, b"ab")
    os.truncate(path, 0)
    with pytest.raises(RegionInvalid, match="has 0 bytes; 1 are wanted"):
        memory.write(0, b"a")
    assert path.read_bytes() == b""


def test_its_size_is_that_of_now(memory, path):
    assert memory.byte_size == 10
    os.truncate(path, 4)
    assert memory.byte_size == 4


def test_it_is_closed_when_nobody_holds_it(path):
    before = open_files()
    memory = SharedObject(path.name)
    assert open_files() == before + 1
    memory.read(0, 1)
    del memory
    assert open_files() == before


def test_it_outlives_its_name(memory, path):
    path.unlink()
    assert bytes(memory.read(0, 3)) == b"012"


def link(path):
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, link])
def test_what_is_no_memory_is_refused_and_left_closed(path, make):
    path = path.with_name(f"{path.name}-other")
    make(path)
    before = open_files()
    try:
        with pytest.raises(RegionInvalid, match=r"cannot be opened|no shared memory object"):
            SharedObject(path.name)
        assert open_files() == before
    finally:
        path.rmdir() if make is Path.mkdir else path.unlink()


@pytest.mark.parametrize(
    "key", ["", "/", ".", "..", "a/b", "//a", "../a", "a\0", "x" * 256, "é" * 128]
)
def test_a_key_that_can_be_no_name_is_refused(key):
    with pytest.raises(RegionInvalid):
        SharedObject(key)
