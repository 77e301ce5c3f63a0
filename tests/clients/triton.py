"""Triton's four Python clients behind one way of calling them, so that one test is for all four."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from bundle import Datatype

MODULES = {
    "http": tritonclient.http,
    "http.aio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc.aio": tritonclient.grpc.aio,
}


class Client:
    """A connected client; `ask` calls one of its methods, and waits where it is asynchronous."""

    def __init__(self, kind, connected, runner):
        self.module = MODULES[kind]
        self.is_grpc = kind.startswith("grpc")
        self.connected = connected
        self._runner = runner

    def ask(self, method, *args, **options):
        answer = getattr(self.connected, method)(*args, **options)
        return self._runner.run(answer) if inspect.isawaitable(answer) else answer

    def told(self, method, *args, **options):
        """What a method answers as plain objects, from either transport."""
        return self.ask(method, *args, **({"as_json": True} if self.is_grpc else {}), **options)

    def tensor(self, array, *, name="x", datatype=None, binary=True):
        array = np.asarray(array)
        kind = datatype or Datatype.from_numpy(array.dtype)
        given = self.module.InferInput(name, list(array.shape), kind.value)
        given.set_data_from_numpy(array, **({} if self.is_grpc else {"binary_data": binary}))
        return given

    def wanted(self, name="y", *, binary=True, **options):
        if not self.is_grpc:
            options["binary_data"] = binary
        return self.module.InferRequestedOutput(name, **options)

    def response(self, result):
        """A reply as the client keeps it, with the same attributes over either transport."""
        return result.get_response(as_json=True) if self.is_grpc else result.get_response()


@contextmanager
def connected(kind, address) -> Iterator[Client]:
    make = MODULES[kind].InferenceServerClient
    with asyncio.Runner() as runner:

        async def open_():
            return make(address)

        client = Client(
            kind, runner.run(open_()) if kind.endswith("aio") else make(address), runner
        )
        try:
            yield client
        finally:
            client.ask("close")
