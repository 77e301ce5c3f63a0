"""CUDA shared memory, which is not offered: there are no regions, and none can be registered.

Clients clean up before they start, so asking for all of them, and unregistering, is no error.
"""

from typing import Never

from service.errors import RegionInvalid, RegionUnknown, excerpt

__all__ = ["find_cuda_regions", "refuse_cuda"]


def find_cuda_regions(name: str | None = None) -> tuple[()]:
    """All regions, which are none.

    Raises:
        RegionUnknown: one is asked for by its name.
    """
    if name is not None:
        raise RegionUnknown(f"there is no CUDA shared memory region {excerpt(name)}")
    return ()


def refuse_cuda(name: str) -> Never:
    """Refuse to register a region.

    Raises:
        RegionInvalid: always.
    """
    raise RegionInvalid(
        f"CUDA shared memory region {excerpt(name)} cannot be registered: this server has no CUDA"
        " shared memory; use system shared memory, or send the tensors in the request"
    )
