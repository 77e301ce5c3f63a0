"""Memory that the server and a worker both see, and tensors laid out in it. Sends no messages.

Each end keeps its own mapping of the same file (`memfd_create(2)`: it has no name, and goes with
the last process that holds it). One end writes at a time; whose turn it is, messages say.
"""

import mmap
import os
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from bundle.tensors import Datatype
from service.codec.binary_tensors import array_from_bytes, bytes_from_array
from service.engine.run import Pieces

__all__ = ["Area", "Laid"]

_ALIGNMENT: Final = 64
_PAGE: Final = mmap.PAGESIZE
_KEPT_BYTES: Final = 16 * 2**20
"""What an area may keep between two runs: returning memory and asking for it anew costs time."""


class Laid(NamedTuple):
    """One tensor in an area. Small enough to be sent.

    Attributes:
        name: of the input or output.
        datatype: of its elements.
        shape: of the tensor.
        start: its first byte in the area.
        size: its bytes; BYTES as the protocol's binary tensor data.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    start: int
    size: int


class Area:
    """A memory that both ends have.

    Args:
        fd: of the shared file; the area owns it.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory: mmap.mmap | None = None
        self._end = 0

    @classmethod
    def create(cls) -> "Area":
        """A new one, empty."""
        return cls(os.memfd_create("normserve"))

    def close(self) -> None:
        """Give up this end of it. Arrays that `get` gave stay valid."""
        self._memory = None
        os.close(self.fd)

    def put(self, tensors: Iterable[tuple[str, Pieces]]) -> tuple[Laid, ...]:
        """Lay out tensors, over whatever lay there; each element is copied once."""
        laid = []
        contents: list[Pieces | bytes | memoryview] = []
        end = 0
        for name, pieces in tensors:
            first = pieces[0]
            datatype = Datatype.from_numpy(first.dtype)
            rows = sum(len(piece) for piece in pieces) if len(pieces) > 1 else 0
            shape = (rows, *first.shape[1:]) if len(pieces) > 1 else first.shape
            content: Pieces | bytes | memoryview = pieces
            if datatype is Datatype.BYTES:
                content = b"".join(bytes_from_array(piece, datatype=datatype) for piece in pieces)
                size = len(content)
            else:
                size = sum(piece.nbytes for piece in pieces)
            laid.append(Laid(name, datatype, shape, end, size))
            contents.append(content)
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        self._end = end
        memory = self._require(end)
        for place, content in zip(laid, contents, strict=True):
            if isinstance(content, bytes | memoryview):
                memory[place.start : place.start + place.size] = content
            elif place.size:
                _write(content, _view(memory, place))
        return tuple(laid)

    def get(self, laid: Iterable[Laid], *, copy: bool) -> dict[str, np.ndarray]:
        """The tensors that lie there.

        Args:
            laid: what the other end has put.
            copy: whether they must outlast the next `put`; else they are views.
        """
        tensors = tuple(laid)
        memory = self._require(max((place.start + place.size for place in tensors), default=0))
        return {place.name: _read(memory, place, copy=copy) for place in tensors}

    def leave(self, note: bytes) -> tuple[int, int]:
        """Lay out a note behind the tensors that were put last; where it begins, and its bytes."""
        stop = self._end + len(note)
        self._require(stop)[self._end : stop] = note
        return self._end, len(note)

    def note(self, start: int, size: int) -> bytes:
        """What the other end has left there. From now on it is this end's turn."""
        if self._memory is not None and len(self._memory) > os.fstat(self.fd).st_size:
            self._memory = None  # the other end has shrunk it: there is nothing behind its end
        return self._require(start + size)[start : start + size]

    def shrink(self) -> None:
        """Return what a large run has left, when neither end uses the area."""
        if os.fstat(self.fd).st_size > _KEPT_BYTES:
            self._memory = None
            os.ftruncate(self.fd, 0)

    def _require(self, size: int) -> mmap.mmap:
        """A mapping of at least so many bytes."""
        there = os.fstat(self.fd).st_size if self._memory is None else len(self._memory)
        if self._memory is not None and there >= size:
            return self._memory
        wanted = max(-(-size // _PAGE) * _PAGE, _PAGE)
        there = os.fstat(self.fd).st_size
        if there < wanted:
            os.ftruncate(self.fd, wanted)
            there = wanted
        self._memory = mmap.mmap(self.fd, there)
        return self._memory


def _view(memory: mmap.mmap, place: Laid) -> np.ndarray:
    dtype = place.datatype.numpy
    flat = np.frombuffer(memory, dtype, count=place.size // dtype.itemsize, offset=place.start)
    return flat.reshape(place.shape)


def _write(pieces: Pieces, into: np.ndarray) -> None:
    if len(pieces) == 1:
        into[...] = pieces[0]
    else:
        np.concatenate(pieces, out=into)


def _read(memory: mmap.mmap, place: Laid, *, copy: bool) -> np.ndarray:
    if place.datatype is Datatype.BYTES:
        content = memoryview(memory)[place.start : place.start + place.size]
        return array_from_bytes(
            content, name=place.name, datatype=place.datatype, shape=place.shape
        )
    if not place.size:
        return np.empty(place.shape, place.datatype.numpy)
    view = _view(memory, place)
    return view.copy() if copy else view
