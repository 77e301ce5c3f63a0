"""What the main process and a front say to each other, and tensors in it. Sends nothing.

Messages are plain tuples that begin with their kind: classes and enumerations take ten times as
long to pack. Their forms, and who sends them:

====================  =====================================================  ==================
kind                  what follows                                           from
====================  =====================================================  ==================
``ASK``               number, token, model, version as asked, began_ns,      front
                      parameters, inputs, outputs, classes, shared inputs,
                      shared outputs
``ENDED``             number, the class of what ended it, or ``None``        front
``COUNT``             route, status                                          front
``VISIT``             client, server; with a connection's descriptor         front
``ANSWER``            number, parameters, outputs                            main
``REFUSE``            number, error; ``None`` is a cancelled answer          main
``KNOW``              token, model, version, signature                       main
``FORGET``            token                                                  main
``TAKE``              nothing; with a connection's descriptor                main
``LOG``               the settings of the log                                main
``STOP``              nothing                                                main
====================  =====================================================  ==================
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any, Final

import numpy as np

from bundle.tensors import Datatype
from service.codec.binary_tensors import array_from_bytes, bytes_from_array
from service.guard import Guard
from service.settings import Settings

__all__ = [
    "ANSWER",
    "ASK",
    "COUNT",
    "ENDED",
    "FORGET",
    "KNOW",
    "LOG",
    "REFUSE",
    "STOP",
    "TAKE",
    "VISIT",
    "Birth",
    "Elsewhere",
    "Laid",
    "laid",
    "read",
    "size_of",
]

ASK: Final = 1
ENDED: Final = 2
COUNT: Final = 3
VISIT: Final = 4
ANSWER: Final = 5
REFUSE: Final = 6
KNOW: Final = 7
FORGET: Final = 8
TAKE: Final = 9
LOG: Final = 10
STOP: Final = 11

Laid = tuple[str, str, tuple[int, ...], Any]
"""One tensor: its name, datatype, shape, and its bytes as any buffer."""


class Elsewhere(Exception):  # no failure: the app has the answer
    """What the front knows of the model is not what there is: the app must be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a front is born with.

    Attributes:
        settings: of the service.
        guard: before infer requests.
        is_tracing: whether requests are traced, which the app does.
    """

    settings: Settings
    guard: Guard
    is_tracing: bool


def laid(name: str, datatype: Datatype, array: np.ndarray) -> Laid:
    """A tensor as it is sent."""
    content = bytes_from_array(array, datatype=datatype)
    return name, datatype.value, array.shape, PickleBuffer(content)


def read(tensors: Iterable[Laid]) -> Mapping[str, np.ndarray]:
    """Tensors as they were sent; they share the memory that they came in."""
    return {
        name: array_from_bytes(
            memoryview(content), name=name, datatype=Datatype(datatype), shape=shape
        )
        for name, datatype, shape, content in tensors
    }


def size_of(tensors: Iterable[Laid]) -> int:
    """The bytes of tensors."""
    return sum(memoryview(content).nbytes for *_, content in tensors)
