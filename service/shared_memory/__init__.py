"""Tensors in memory that clients share with the server (the system shared memory extension).

`Regions` is what clients registered, `claim` what one request reads and writes there. Knows no
transport: where a request wants its tensors is in `service.inference`.
"""

from service.shared_memory.cuda import find_cuda_regions, refuse_cuda
from service.shared_memory.regions import Region, Regions
from service.shared_memory.tensors import SharedTensors, claim

__all__ = ["Region", "Regions", "SharedTensors", "claim", "find_cuda_regions", "refuse_cuda"]
