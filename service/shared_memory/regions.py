"""Regions of shared memory by the names that clients gave them. Knows no tensors.

Source: https://github.com/triton-inference-server/server, in docs/protocol
extension_shared_memory.md.
"""

from dataclasses import dataclass

from service.errors import (
    OperationForbidden,
    ParameterInvalid,
    RegionExists,
    RegionInvalid,
    RegionUnknown,
    excerpt,
)
from service.inference import Placement
from service.shared_memory.objects import SharedObject

__all__ = ["Region", "Regions", "Stretch"]

_MOST_REGIONS = 256
"""Each holds a file open, and a process often may have no more than 1024."""
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a shared memory object.

    Attributes:
        name: that clients call it by.
        key: of the object, as ``shm_open`` takes it.
        offset: of its first byte in the object.
        byte_size: of the region.
    """

    name: str
    key: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bytes that a tensor is in, or goes to; there to be used for as long as this is held.

    Attributes:
        placement: of the tensor in a region.
        start: of the first byte in the object.
        memory: the object behind the region.
    """

    placement: Placement
    start: int
    memory: SharedObject

    def read(self) -> memoryview:
        """A copy of them.

        Raises:
            RegionInvalid: the object was cut since the region was registered.
        """
        return self.memory.read(self.start, self.placement.byte_size)

    def require_room(self, byte_size: int) -> None:
        """Whether as many bytes can be written.

        Raises:
            RegionInvalid: they are more, or the object was cut since the region was registered.
        """
        if byte_size > self.placement.byte_size:
            raise RegionInvalid(
                f"{self.placement.byte_size} bytes of shared memory region"
                f" {excerpt(self.placement.region)} are for an output of {byte_size} bytes"
            )
        self.memory.require(self.start + byte_size)

    def write(self, content: bytes | memoryview) -> None:
        """Overwrite the first of them.

        Raises:
            RegionInvalid: the object was cut since the region was registered, or cannot be written.
        """
        self.memory.write(self.start, content)


class Regions:
    """What clients registered. Used from one thread, that of the event loop.

    Args:
        is_open: whether clients may register regions at all.
        max_request_bytes: that one request may read from regions.

    Attributes:
        is_open: as given.
        max_request_bytes: as given.
    """

    def __init__(self, *, is_open: bool, max_request_bytes: int = 0) -> None:
        self.is_open = is_open
        self.max_request_bytes = max_request_bytes
        self._regions: dict[str, tuple[Region, SharedObject]] = {}

    def find(self, name: str | None = None) -> tuple[Region, ...]:
        """Every region in the order in which they were registered, or the one of that name.

        Raises:
            RegionUnknown: there is none of that name.
        """
        if name is None:
            return tuple(region for region, _ in self._regions.values())
        return (self._known(name)[0],)

    def register(self, region: Region) -> None:
        """Make a region known.

        Raises:
            OperationForbidden: shared memory is off.
            RegionExists: the name is taken.
            RegionInvalid: it has no name, its object cannot be opened or is smaller than the
                region, or there are as many regions as may be.
        """
        if not self.is_open:
            raise OperationForbidden(
                "shared memory regions cannot be registered: the setting client_shared_memory"
                " (NORMSERVE_CLIENT_SHARED_MEMORY) of this server is off; send the tensors in the"
                " request"
            )
        name = region.name
        if not 0 < len(name) <= _LONGEST_NAME:
            raise RegionInvalid(
                f"a shared memory region has a name of 1 to {_LONGEST_NAME} characters;"
                f" got {excerpt(name)}"
            )
        if name in self._regions:
            raise RegionExists(
                f"shared memory region {excerpt(name)} is registered already; unregister it first"
            )
        if len(self._regions) >= _MOST_REGIONS:
            raise RegionInvalid(
                f"{_MOST_REGIONS} shared memory regions are registered, as many as may be;"
                " unregister one first"
            )
        if region.byte_size < 1:
            raise RegionInvalid(
                f"shared memory region {excerpt(name)} has a byte_size of 0; it wants 1 or more"
            )
        memory = SharedObject(region.key)
        memory.require(region.offset + region.byte_size)
        self._regions[name] = (region, memory)

    def unregister(self, name: str | None = None) -> None:
        """Forget a region, or all of them; one that nobody registered is no error.

        Requests that have begun keep what they read and write.
        """
        if name is None:
            self._regions.clear()
        else:
            self._regions.pop(name, None)

    def claim(self, placement: Placement) -> Stretch:
        """The bytes that a tensor is in, or goes to.

        Raises:
            ParameterInvalid: shared memory is off.
            RegionUnknown: there is no such region.
            RegionInvalid: the region does not have these bytes.
        """
        if not self.is_open:
            raise ParameterInvalid(
                f"a tensor is to be in the shared memory region {excerpt(placement.region)}, and"
                " this server does not offer shared memory; send it in the request"
            )
        region, memory = self._known(placement.region)
        if placement.offset + placement.byte_size > region.byte_size:
            raise RegionInvalid(
                f"shared memory region {excerpt(region.name)} has {region.byte_size} bytes;"
                f" {placement.byte_size} from {placement.offset} on go past its end"
            )
        return Stretch(placement, region.offset + placement.offset, memory)

    def _known(self, name: str) -> tuple[Region, SharedObject]:
        try:
            return self._regions[name]
        except KeyError:
            raise RegionUnknown(
                f"there is no shared memory region {excerpt(name)}; register it first"
            ) from None
