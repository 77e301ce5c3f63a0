"""Requests that a model's process did not survive, twice. Remembers them for a while."""

import hashlib
import time
from collections.abc import Callable
from typing import Final

from bundle.tensors import Datatype
from service.batching.queue import Job
from service.codec.binary_tensors import bytes_from_array
from service.errors import RequestQuarantined

__all__ = ["Quarantine"]

_LASTS_S: Final = 60.0
_MOST: Final = 1024


class Quarantine:
    """What is not computed again for now. Costs nothing while it is empty.

    Args:
        clock: seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[bytes, float] = {}

    def add(self, job: Job) -> None:
        """Keep a request out."""
        while len(self._until) >= _MOST:
            del self._until[next(iter(self._until))]
        self._until[_digest(job)] = self._clock() + _LASTS_S

    def check(self, job: Job) -> None:
        """Whether a request may be computed.

        Raises:
            RequestQuarantined: it is one of those.
        """
        if not self._until:
            return
        now = self._clock()
        self._until = {digest: until for digest, until in self._until.items() if until > now}
        until = self._until.get(_digest(job)) if self._until else None
        if until is not None:
            raise RequestQuarantined(
                "the model's process ended twice while it computed these inputs; they are not"
                f" tried again for {until - now:.0f} s"
            )


def _digest(job: Job) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(job.inputs.items()):
        datatype = Datatype.from_numpy(array.dtype)
        digest.update(f"{name}\0{datatype}\0{array.shape}\0".encode())
        digest.update(bytes_from_array(array, datatype=datatype))
    return digest.digest()
