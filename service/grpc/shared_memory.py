"""Shared memory over gRPC: what is registered, registering and unregistering it.

Decides nothing: `service.shared_memory` does.
"""

from typing import Any

from service.grpc.schema import message
from service.shared_memory import Region, Regions, find_cuda_regions, refuse_cuda

__all__ = ["SharedMemoryMethods"]

_SystemStatus = message("SystemSharedMemoryStatusResponse")
_SystemRegister = message("SystemSharedMemoryRegisterResponse")
_SystemUnregister = message("SystemSharedMemoryUnregisterResponse")
_CudaStatus = message("CudaSharedMemoryStatusResponse")
_CudaUnregister = message("CudaSharedMemoryUnregisterResponse")


class SharedMemoryMethods:
    """The protocol's methods about shared memory, each under its name in snake case.

    Args:
        regions: what clients registered.
    """

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    async def system_shared_memory_status(self, request: Any) -> Any:
        """Which regions are registered; all of them where none is named."""
        response = _SystemStatus()
        for region in self._regions.find(request.name or None):
            told = response.regions[region.name]
            told.name, told.key = region.name, region.key
            told.offset, told.byte_size = region.offset, region.byte_size
        return response

    async def system_shared_memory_register(self, request: Any) -> Any:
        """Make a part of a shared memory object known by a name."""
        self._regions.register(
            Region(
                name=request.name,
                key=request.key,
                offset=request.offset,
                byte_size=request.byte_size,
            )
        )
        return _SystemRegister()

    async def system_shared_memory_unregister(self, request: Any) -> Any:
        """Forget a region; all of them where none is named."""
        self._regions.unregister(request.name or None)
        return _SystemUnregister()

    async def cuda_shared_memory_status(self, request: Any) -> Any:
        """Which CUDA regions are registered: none."""
        find_cuda_regions(request.name or None)
        return _CudaStatus()

    async def cuda_shared_memory_register(self, request: Any) -> Any:
        """Is refused: there is no CUDA shared memory here."""
        refuse_cuda(request.name)

    async def cuda_shared_memory_unregister(self, _: Any) -> Any:
        """Forget CUDA regions, of which there are none."""
        return _CudaUnregister()
