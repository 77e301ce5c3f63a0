"""Memory of the host that a GPU copies from by itself. Copies nothing; slower without, never wrong.

What is copied from ordinary memory goes through a buffer of the driver's first, because the
operating system may move it. Memory that is page-locked stays where it is. ONNX Runtime's Python
interface hands out none for its built-in CUDA provider, so the driver is asked:
https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEM.html, ``cuMemHostRegister``.
"""

import ctypes
import mmap
from typing import Final, Protocol

__all__ = ["CudaDriver", "Driver", "PageLockedBuffer", "cuda_driver"]

_LIBRARY: Final = "libcuda.so.1"
_PORTABLE: Final = 1
"""For every context of the process, whichever made it."""
_SUCCESS: Final = 0


class Driver(Protocol):
    """What locks pages."""

    def lock(self, address: int, size: int) -> bool:
        """Lock memory; whether it is locked."""
        ...

    def unlock(self, address: int) -> None:
        """Let memory go that was locked."""
        ...


class CudaDriver:
    """CUDA's driver.

    Args:
        library: its library, as `ctypes.CDLL` gives it.
        number: of the device.
    """

    def __init__(self, library: ctypes.CDLL, *, number: int) -> None:
        self._library = library
        self._number = number

    def lock(self, address: int, size: int) -> bool:
        """See `Driver`."""
        status: int = self._enter() or self._library.cuMemHostRegister_v2(
            ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_uint(_PORTABLE)
        )
        return status == _SUCCESS

    def unlock(self, address: int) -> None:
        """See `Driver`."""
        self._library.cuMemHostUnregister(ctypes.c_void_p(address))

    def _enter(self) -> int:
        """Make the context that ONNX Runtime uses this thread's; a status."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        library = self._library
        status: int = (
            library.cuInit(ctypes.c_uint(0))
            or library.cuDeviceGet(ctypes.byref(device), ctypes.c_int(self._number))
            or library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
            or library.cuCtxSetCurrent(context)
        )
        return status


def cuda_driver(number: int = 0) -> Driver | None:
    """CUDA's driver, for a device; None where there is none."""
    try:
        return CudaDriver(ctypes.CDLL(_LIBRARY), number=number)
    except OSError:
        return None


class PageLockedBuffer:
    """Some bytes of the host's memory, page-locked where that can be.

    Args:
        size: how many, at least one; rounded up to whole pages.
        driver: locks them; None for ordinary memory.

    Attributes:
        memory: the bytes.
        is_locked: whether they are page-locked.
    """

    def __init__(self, size: int, driver: Driver | None) -> None:
        pages = -(-size // mmap.PAGESIZE)
        self.memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
        self._driver = driver
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.is_locked = driver is not None and driver.lock(self._address, len(self.memory))

    def __len__(self) -> int:
        return len(self.memory)

    def __del__(self) -> None:
        if self.is_locked and self._driver is not None:
            self._driver.unlock(self._address)
