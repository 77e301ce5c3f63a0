"""Load where no generator is installed: a program of its own, which imports nothing of ours.

Reads what to do as JSON from standard input, and writes the log that h2load writes. It takes twice
the processor time of h2load over HTTP and six times that over gRPC; the server has that less.
"""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import httptools
import uvloop

__all__ = ["main"]

_FAILED: Final = -1
_PATIENCE_S: Final = 0.01
_UNLIMITED: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each channel
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


@dataclass(slots=True)
class _Job:
    """What is to be asked, as `normserve.bench.load` writes it, and what came of it."""

    root: str
    path: str
    headers: dict[str, str]
    body: bytes
    concurrency: int
    seconds: float | None
    requests: int | None
    each_per_s: float | None
    ended: list[tuple[int, int, int]] = field(default_factory=list)
    _begun: int = 0

    def may_ask(self) -> bool:
        """Whether one more request is wanted; it counts as begun."""
        if self.requests is not None and self._begun >= self.requests:
            return False
        self._begun += 1
        return True

    def note(self, began_ns: int, status: int) -> None:
        """A request has ended."""
        took_ns = time.time_ns() - began_ns
        self.ended.append((began_ns // 1000, status, took_ns // 1000))

    async def pause(self, began_ns: int) -> None:
        """Wait until a connection may ask again."""
        if self.each_per_s is not None:
            await asyncio.sleep(1 / self.each_per_s - (time.time_ns() - began_ns) / 1e9)


class _Connection(asyncio.Protocol):
    """HTTP/1.1, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._parser: Any = None
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of TCP it is one

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._end(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(_FAILED)

    async def ask(self, request: bytes) -> int:
        """The status of the answer; `_FAILED` where the connection is lost."""
        if self._transport.is_closing():
            return _FAILED
        self._parser = httptools.HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def _end(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


async def _over_http(job: _Job) -> None:
    parts = urlsplit(job.root)
    head = [f"{'POST' if job.body else 'GET'} {job.path} HTTP/1.1", f"Host: {parts.netloc}"]
    head += [f"{name}: {value}" for name, value in job.headers.items()]
    head += [f"Content-Length: {len(job.body)}", "", ""]
    request = "\r\n".join(head).encode() + job.body
    loop = asyncio.get_running_loop()
    connection: _Connection | None = None
    while job.may_ask():
        began = time.time_ns()
        try:
            if connection is None:
                _, connection = await loop.create_connection(
                    _Connection, parts.hostname or "", parts.port or 80
                )
            status = await connection.ask(request)
        except OSError:
            status = _FAILED
        job.note(began, status)
        if status == _FAILED:
            connection = None
            await asyncio.sleep(_PATIENCE_S)
        await job.pause(began)
    if connection is not None:
        connection.close()


async def _over_grpc(job: _Job) -> None:
    metadata = tuple(item for item in job.headers.items() if item[0] == "authorization")
    async with grpc.aio.insecure_channel(job.root, options=_UNLIMITED) as channel:
        infer: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(job.path)
        while job.may_ask():
            began = time.time_ns()
            try:
                await infer(job.body[5:], metadata=metadata)
                status = 200
            except grpc.aio.AioRpcError:
                status = _FAILED
            job.note(began, status)
            await job.pause(began)


async def _all(connections: list[Coroutine[Any, Any, None]], seconds: float | None) -> None:
    tasks = [asyncio.create_task(connection) for connection in connections]
    _, open_ones = await asyncio.wait(tasks, timeout=seconds)
    for task in open_ones:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def main() -> None:
    """Do what standard input says."""
    given = json.load(sys.stdin)
    log, is_grpc = Path(given.pop("log")), given.pop("is_grpc")
    job = _Job(**given | {"body": Path(given["body"]).read_bytes()})
    one = _over_grpc if is_grpc else _over_http
    uvloop.run(_all([one(job) for _ in range(job.concurrency)], job.seconds))
    log.write_text("".join(f"{began}\t{status}\t{took}\n" for began, status, took in job.ended))


if __name__ == "__main__":
    main()
