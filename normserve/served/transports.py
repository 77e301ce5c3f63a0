"""The ways in which a server is asked, with the client that people use. Compares nothing."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from bundle import Datatype
from normserve.served.questions import Question

__all__ = ["TRANSPORTS", "Addresses", "Clients", "Transport", "connected"]

_TIMEOUT_SECONDS = 300.0
_HALF = frozenset({Datatype.FP16, Datatype.BF16})


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of a server, ``host:port`` each."""

    http: str
    grpc: str


@dataclass(frozen=True, slots=True)
class Clients:
    """That are connected to a server, untyped as they are."""

    http: Any
    grpc: Any


class Transport(Protocol):
    """A way to ask."""

    name: str

    def refuses(self, question: Question) -> str:
        """Why it cannot carry the tensors of a question; empty where it can."""
        ...

    async def ask(
        self, clients: Clients, name: str, version: int, question: Question
    ) -> Mapping[str, np.ndarray]:
        """Ask, and take the answer apart.

        Raises:
            InferenceServerException: the server answers with an error.
            aiohttp.ClientError: there is no answer.
            TimeoutError: it does not come in time.
        """
        ...


class _Http:
    """HTTP with tensors as bytes behind the JSON header, or within it."""

    def __init__(self, name: str, *, binary: bool) -> None:
        self.name = name
        self._binary = binary

    def refuses(self, question: Question) -> str:
        return "" if self._binary else _not_json(question)

    async def ask(
        self, clients: Clients, name: str, version: int, question: Question
    ) -> Mapping[str, np.ndarray]:
        inputs = []
        for key, array in question.feeds.items():
            datatype = Datatype.from_numpy(array.dtype)
            tensor = tritonclient.http.InferInput(key, list(array.shape), datatype)
            inputs.append(tensor.set_data_from_numpy(array, binary_data=self._binary))
        outputs = [
            tritonclient.http.InferRequestedOutput(key, binary_data=self._binary)
            for key in question.answer
        ]
        result = await clients.http.infer(name, inputs, model_version=str(version), outputs=outputs)
        names = [output["name"] for output in result.get_response()["outputs"]]
        return {key: result.as_numpy(key) for key in names}


class _Grpc:
    """gRPC, whose tensors are always bytes."""

    name = "gRPC"

    def refuses(self, _: Question) -> str:
        return ""

    async def ask(
        self, clients: Clients, name: str, version: int, question: Question
    ) -> Mapping[str, np.ndarray]:
        inputs = []
        for key, array in question.feeds.items():
            datatype = Datatype.from_numpy(array.dtype)
            tensor = tritonclient.grpc.InferInput(key, list(array.shape), datatype)
            inputs.append(tensor.set_data_from_numpy(array))
        result = await clients.grpc.infer(
            name,
            inputs,
            model_version=str(version),
            outputs=[tritonclient.grpc.InferRequestedOutput(key) for key in question.answer],
            client_timeout=_TIMEOUT_SECONDS,
        )
        return {
            output.name: result.as_numpy(output.name) for output in result.get_response().outputs
        }


TRANSPORTS: tuple[Transport, ...] = (
    _Http("HTTP JSON", binary=False),
    _Http("HTTP binary", binary=True),
    _Grpc(),
)


@asynccontextmanager
async def connected(addresses: Addresses, *, at_once: int) -> AsyncIterator[Clients]:
    """Clients for as many requests at a time as there are to be."""
    async with (
        tritonclient.http.aio.InferenceServerClient(
            addresses.http, conn_limit=at_once, conn_timeout=_TIMEOUT_SECONDS
        ) as http,
        tritonclient.grpc.aio.InferenceServerClient(addresses.grpc) as grpc,
    ):
        yield Clients(http, grpc)


def _not_json(question: Question) -> str:
    for name, array in _tensors(question):
        datatype = Datatype.from_numpy(array.dtype)
        if datatype in _HALF:
            return f"'{name}' is {datatype}"
        if datatype.is_float and not np.isfinite(array).all():
            return f"'{name}' has NaN or infinities"
        if datatype is Datatype.BYTES and not all(map(_is_text, array.flat)):
            return f"'{name}' has bytes that are no text"
    return ""


def _tensors(question: Question) -> Iterator[tuple[str, np.ndarray]]:
    yield from question.feeds.items()
    yield from question.answer.items()


def _is_text(element: bytes | str) -> bool:
    if isinstance(element, str):
        return True
    try:
        element.decode()
    except UnicodeDecodeError:
        return False
    return True
