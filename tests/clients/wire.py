"""A connection on which a test writes any bytes and reads HTTP replies one after another."""

import json
import socket
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPResponse
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Kept:
    """The stream of replies, which a reply that was read to its end must not close."""

    def __init__(self, stream):
        self._stream = stream

    def makefile(self, _):
        return self

    def close(self):
        pass

    def __getattr__(self, name):
        return getattr(self._stream, name)


class Wire:
    def __init__(self, port: int, *, timeout: float = 30.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def read(self, method: str = "POST") -> Reply:
        """The next reply, which is to a request with that method."""
        response = HTTPResponse(_Kept(self._stream), method=method)
        response.begin()
        return Reply(response.status, response.headers, response.read())

    def read_line(self) -> bytes:
        return self._stream.readline()

    def is_closed(self) -> bool:
        """Whether the server sends nothing more and has closed; waits for it."""
        try:
            return self._stream.read(1) == b""
        except ConnectionResetError:
            return True


def request(
    path: str,
    body: bytes | None = None,
    *,
    method: str | None = None,
    version: str = "1.1",
    length: int | None = None,
    host: str = "test",
    **headers: str,
) -> bytes:
    """A request as a browser would write it; underscores in the names of headers are hyphens."""
    verb = method or ("GET" if body is None else "POST")
    lines = [f"{verb} {path} HTTP/{version}", f"Host: {host}"]
    if body is not None and "Transfer_Encoding" not in headers:
        headers = {"Content_Length": str(len(body) if length is None else length)} | headers
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


INFER = "/v2/models/identity-fp32/infer"
GOOD = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
).encode()


def assert_serves(port: int) -> None:
    """A new client is answered."""
    with Wire(port) as wire:
        wire.send(request(INFER, GOOD))
        assert wire.read().json["outputs"][0]["data"] == [1, 2, 3]
