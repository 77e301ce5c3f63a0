"""Requests that the app answers, on their way through a front: to the main process and back.

Each gets a line of its own, which the main process's HTTP server takes as it takes a client's. What
is streamed is streamed on, and no more of it is held than a few pieces. Decides nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import httptools
from starlette.types import Message, Receive, Scope, Send

from service.fronts.line import Line
from service.fronts.messages import VISIT
from service.http.errors import error_response

__all__ = ["Relay"]

_PIECE_BYTES: Final = 2**16
_OWN: Final = frozenset({b"connection", b"expect", b"keep-alive", b"proxy-connection"})
"""Of a request: they are about the client's connection, which ends here."""
_CONTINUE: Final = (b"expect", b"100-continue")
_ITS_OWN: Final = frozenset({b"connection", b"date", b"transfer-encoding"})
"""Of a reply: the server of this process says them itself."""


class Relay:
    """An ASGI app that has requests answered by the main process.

    Args:
        line: to it.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its reply back."""
        try:
            here, there = socket.socketpair()
        except OSError:
            reply = error_response(
                HTTPStatus.SERVICE_UNAVAILABLE, "there are no descriptors left for this request"
            )
            await reply(scope, receive, send)
            return
        self._line.send((VISIT, scope["client"], scope["server"]), fds=[there.detach()])
        here.settimeout(0)
        reader, writer = await asyncio.open_unix_connection(sock=here)
        may_send_body = asyncio.Event()
        asking = asyncio.create_task(_ask(scope, receive, writer, may_send_body))
        try:
            if not await _answer(scope, reader, send, may_send_body):
                reply = error_response(
                    HTTPStatus.SERVICE_UNAVAILABLE, "the server was stopped during this request"
                )
                await reply(scope, receive, send)
        finally:
            asking.cancel()
            writer.transport.abort()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await asking


async def _ask(
    scope: Scope, receive: Receive, writer: asyncio.StreamWriter, may_send_body: asyncio.Event
) -> None:
    """Send a request; then wait for its client to go away, which ends it."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    is_chunked = any(name == b"transfer-encoding" for name, _ in headers)
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), scope["raw_path"] + query)]
    lines += [b"%b: %b" % header for header in headers if header[0] not in _OWN]
    # other expectations are not met, and what nobody answers must not be waited for
    waits = scope.get("http_version") != "1.0" and any(
        (name, value.lower()) == _CONTINUE for name, value in headers
    )
    if waits:
        lines.append(b"%b: %b" % _CONTINUE)
    # not with "connection: close": a reply that does not wait for the body would be lost
    writer.write(b"\r\n".join([*lines, b"", b""]))
    if waits:
        await may_send_body.wait()
    more = True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            writer.transport.abort()
            return
        body = message.get("body", b"")
        if body:
            writer.writelines((b"%x\r\n" % len(body), body, b"\r\n") if is_chunked else (body,))
        if more and not message.get("more_body", False):
            more = False
            if is_chunked:
                writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _answer(
    scope: Scope, reader: asyncio.StreamReader, send: Send, may_send_body: asyncio.Event
) -> bool:
    """Pass the reply back as it comes; tells whether there was one."""
    reply = _Reply(is_head=scope["method"] == "HEAD")
    has_begun = False
    while not reply.is_whole:
        try:
            piece = await reader.read(_PIECE_BYTES)
        except ConnectionError:
            piece = b""
        if not piece:
            break
        reply.parser.feed_data(piece)
        if reply.goes_on:
            may_send_body.set()
        for message in reply.take():
            await send(message)
            has_begun = True
    return has_begun


class _Reply:
    """A reply that is coming, as messages of ASGI; what httptools' parser calls back.

    Args:
        is_head: whether it has no body, whatever its headers say.

    Attributes:
        parser: to be fed.
        goes_on: whether the body is asked for (100 Continue).
        is_whole: whether all of it has come.
    """

    def __init__(self, *, is_head: bool) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.goes_on = self.is_whole = False
        self._is_head = is_head
        self._headers: list[tuple[bytes, bytes]] = []
        self._messages: list[Message] = []

    def take(self) -> list[Message]:
        """What has come since this was asked last."""
        messages, self._messages = self._messages, []
        return messages

    def on_message_begin(self) -> None:
        """The first byte."""
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if name.lower() not in _ITS_OWN:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The end of the head."""
        status = self.parser.get_status_code()
        if status == HTTPStatus.CONTINUE:
            self.goes_on = True
            return
        start = {"type": "http.response.start", "status": status, "headers": self._headers}
        self._messages.append(start)
        if self._is_head:
            self._end()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._messages.append({"type": "http.response.body", "body": body, "more_body": True})

    def on_message_complete(self) -> None:
        """The end."""
        if self.parser.get_status_code() != HTTPStatus.CONTINUE and not self.is_whole:
            self._end()

    def _end(self) -> None:
        self.is_whole = True
        self._messages.append({"type": "http.response.body", "body": b"", "more_body": False})
