"""HTTP/1.1 off a socket: uvicorn's protocol, and bounds on how long and how much a client sends.

uvicorn takes a head of any size and waits for the rest of a request for ever. The bodies of
requests are not bounded here: `service.http.bodies` does that.
"""

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from fastapi import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.errors import error_response
from service.http.express import Exchange, Express
from service.http.replies import Answer
from service.intake import Intake

__all__ = ["MAX_HEAD_BYTES", "BoundedProtocol"]

MAX_HEAD_BYTES: Final = 64 * 2**10
"""Bytes that the first line and the headers of a request may have, and those of its body that are
no content: the sizes and extensions of chunks, and trailers."""

_CHUNK_FRAMING: Final = 16
"""Bytes that a chunk may have beside its content and count as nothing."""

_KNOWN_BYTES: Final = 2 * 2**10
"""Of a head that is remembered."""

_MOST_QUEUED: Final = 128
"""Requests of one client that wait behind the one that is being answered."""

_VERSIONS: Final = ("1.0", "1.1")
_SMALL_BYTES: Final = 2**16
"""That are copied in less time than a call of the system takes."""
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus
}


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose client must send.

    A head must be whole, and a body must go on, within the time after which an idle connection is
    closed; otherwise the client is told 408 and the connection is closed. What is no HTTP, or has
    too large a head, is told so as every error is. What was refused is over: nothing of it is
    carried out, and nothing that is sent after it is read. Trailers are dropped: as headers they
    could change what was decided on the headers. No protocol is offered to upgrade to, so a request
    that asks for one (Java's client does, for HTTP/2) is answered as if it did not; this is no
    proxy, so one to be one (``CONNECT``) is none. While requests wait behind the one that is being
    answered, no more are read.
    """

    _has_begun = False
    _in_head = False
    _in_body = False
    _is_too_large = False
    _is_over = False  # something was refused
    _received = 0  # bytes of the data that are being parsed
    _first = 0  # of them when the request began
    _surplus = 0  # bytes since the request, or its body, began that are no content
    _timer: asyncio.TimerHandle | None = None
    _exchange: Exchange | None = None  # whose body is coming
    _asked: Exchange | None = None  # whose answer is coming
    _running: RequestResponseCycle | None = None  # that the app is answering

    _held = 0  # bytes of bodies that were not answered

    flow: "_Flow"

    def __init__(
        self,
        *args: Any,
        express: Express | None = None,
        intake: Intake | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._intake = intake or Intake(most=sys.maxsize)
        self._bodies: deque[int] = deque()  # the same, of each request
        self._express = express

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; uvicorn narrows the transport's type as well."""
        super().connection_made(transport)
        self.flow = _Flow(transport, is_held=lambda: bool(self.pipeline))
        connection = transport.get_extra_info("socket")
        if sys.platform == "linux" and connection.family != socket.AF_UNIX:
            # closes where a client takes nothing of its answer for as long
            connection.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.timeout_keep_alive * 1000
            )
        self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self._intake.give(self._held)
        self._bodies.clear()
        self._held = 0
        if self._express is not None and self._exchange is not None:
            self._express.give_up(self._exchange)
        if self._asked is not None:
            self._asked.abandon()
        self._exchange = self._asked = None
        # uvicorn tells the last one only, and the others would write to nobody
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                _break_off(cycle)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._is_over:
            return
        self._unset_keepalive_if_required()
        is_between = not (self._in_head or self._in_body or self._is_answering())
        if is_between and self._take_whole(data):
            return
        self._received = len(data)
        self._surplus += len(data)
        if is_between:
            data = self._feed_head(data)
        while data:
            data = self._feed(data)
        if self.transport.is_closing() or self._is_over:
            return
        must_send = self._in_head or self._in_body
        if must_send and self._surplus > MAX_HEAD_BYTES:
            self._is_too_large = True
            self.send_400_response("")
            return
        is_answering = self._is_answering()
        if self._in_body or is_answering:
            self._stop_waiting()
        if must_send or not is_answering:
            self._wait_for_client()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if len(self.pipeline) >= _MOST_QUEUED:  # the last of them is whole
            self._is_over, self.cycle.keep_alive = True, False
        if self._is_over:
            raise ValueError("nothing more is taken")  # which ends the parser
        super().on_message_begin()
        self._stop_waiting()
        self._in_head, self._first, self._surplus = True, self._received, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, whose white space is none of its value."""
        super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """The end of the head."""
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            raise ValueError("not a version that is spoken here")
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("this is no proxy")
        most = self._first + self._surplus  # that the head can have: what came with it counts too
        if most > MAX_HEAD_BYTES and self._head_size() > MAX_HEAD_BYTES:
            self._is_too_large = True
            raise ValueError("too large a head")
        if self.parser.should_upgrade():
            return
        if version == "1.0":
            self.expect_100_continue = False
        self._bodies.append(0)
        self._exchange = self._take()
        if self._exchange is None:
            super().on_headers_complete()
        else:
            self.cycle = self._exchange  # type: ignore[assignment]  # has what is asked of one
        self._in_head, self._in_body, self._has_begun = False, True, True
        self._surplus = 0
        self.headers = []  # trailers would go to those of the request

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._surplus = max(0, self._surplus - len(body) - _CHUNK_FRAMING)
        if self._is_over or self.transport.is_closing():
            return
        if self._exchange is None and self.cycle.response_complete:
            return  # it was answered without its body, which nobody holds
        if not self._intake.take(len(body), held=self._held):
            self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the bodies of all requests that are being answered have {self._intake.most}"
                " bytes, the most this server holds; try again in 1 s",
                headers={"Retry-After": "1"},
            )
            return
        self._held += len(body)
        self._bodies[-1] += len(body)
        if self._exchange is None:
            super().on_body(body)
        else:
            self._exchange.body.append(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        if not (self._is_over or self.parser.should_upgrade()):
            self._in_body = False
            exchange, self._exchange = self._exchange, None
            if exchange is None or self._express is None:
                super().on_message_complete()
            else:
                self._asked = exchange
                self._express.begin(exchange)

    def reply(self, exchange: Exchange, response: Answer | Response) -> None:
        """Send the response to a request that did not go to the app."""
        self._asked = None
        exchange.response_started = exchange.response_complete = True
        if not self.transport.is_closing():
            lines = [_STATUS_LINES[response.status_code]]
            headers = [*self.server_state.default_headers, *response.raw_headers]
            lines += [b"%b: %b" % header for header in headers]
            if not exchange.keep_alive:
                lines.append(b"connection: close")
            head = b"\r\n".join([*lines, b"", b""])
            if len(response.body) <= _SMALL_BYTES:
                self.transport.write(head + response.body)
            else:
                self.transport.writelines((head, response.body))
            if not exchange.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """The answer was given, and what was asked is held no more."""
        if self._bodies:
            size = self._bodies.popleft()
            self._intake.give(size)
            self._held -= size
        self._running = None
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What was sent cannot be read on; ``msg`` is uvicorn's own text and not used.

        Requests before it that are whole are answered first.
        """
        if self._is_over:
            return
        if self._is_answering() and not self._in_body:
            self._is_over, self.cycle.keep_alive = True, False
        elif self._is_too_large:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's first line and headers are larger than {MAX_HEAD_BYTES} bytes, the"
                " most this server takes",
            )
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "what was sent is not a valid HTTP/1.1 request")

    def _feed(self, data: bytes) -> bytes:
        """Parse; gives what is to be parsed anew.

        That is a request without its header Upgrade, after which the parser reads no body.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade as err:
            version = self.parser.get_http_version().encode()
            lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            return b"\r\n".join([*lines, b"", data[err.args[0] :]])
        return b""

    def _feed_head(self, data: bytes) -> bytes:
        """Parse the head of a request, if it came whole, and remember it; gives the rest.

        What was fed is the head and nothing else where no part of a body came of it.
        """
        end = _end_of_head(data)
        if self._express is None or not end:
            return data
        again = self._feed(data[:end])
        if self._is_over:
            return b""
        exchange = self._exchange
        if exchange is not None and not exchange.body:
            self._express.remember(data[:end], exchange.head)
        return again + data[end:]

    def _take_whole(self, data: bytes) -> bool:
        """Take a request that came at once, with a head that is known: past the parser.

        The parser is between two requests before and after it.
        """
        end = _end_of_head(data)
        if (
            self._express is None
            or not end
            or self.flow.write_paused
            or self.transport.is_closing()
        ):
            return False
        head = self._express.known(data[:end])
        if head is None or head.size != len(data) - end:
            return False
        if not self._intake.take(head.size, held=self._held):
            return False
        exchange = self._express.take(self, head)
        if exchange is None:
            self._intake.give(head.size)
            return False
        self._stop_waiting()
        self._held += head.size
        self._bodies.append(head.size)
        self._has_begun = True
        exchange.body.append(data[end:])
        self.cycle = exchange  # type: ignore[assignment]  # has what is asked of one
        self._asked = exchange
        self._express.begin(exchange)
        return True

    def _take(self) -> Exchange | None:
        """The request whose head is there, if it need not go to the app."""
        if (
            self._express is None
            or self._is_answering()
            or self.flow.write_paused
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or not self.parser.should_keep_alive()
        ):
            return None
        head = self._express.read(self.url, self.headers)
        return None if head is None else self._express.take(self, head)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _is_answering(self) -> bool:
        return self._has_begun and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused or (self._is_answering() and not self._in_body):
            self._wait_for_client()  # it is not the client that keeps the other waiting
        elif self._in_head or self._in_body:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the rest of the request did not come within {self.timeout_keep_alive} seconds",
            )
        else:
            self.transport.close()

    def _refuse(
        self, status: HTTPStatus, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Tell why, unless an answer to this request has begun, and close.

        Requests before it are answered first.
        """
        self._is_over = True
        self._stop_waiting()
        response = error_response(
            status, message, headers={"Connection": "close", **(headers or {})}
        )
        if self.pipeline and self._in_body:  # the last one is this request
            self.pipeline[0] = (self.cycle, cast("Any", response))  # which is an app itself
            return
        if not (self._in_body and self.cycle.response_started):
            lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
            lines += [b"%b: %b" % header for header in response.raw_headers]
            self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        exchange, self._exchange = self._exchange, None
        if exchange is not None and self._express is not None:
            self._express.give_up(exchange, status, message)
        elif self._in_body:
            _break_off(self.cycle)
        self.transport.close()


class _Flow(FlowControl):
    """Reads on only where nothing waits to be answered; uvicorn does so after each answer.

    Args:
        transport: of the connection.
        is_held: whether something waits.
    """

    def __init__(self, transport: asyncio.Transport, *, is_held: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_held = is_held

    def resume_reading(self) -> None:
        """Read on, if that may be."""
        if not self._is_held():
            super().resume_reading()


def _break_off(cycle: RequestResponseCycle) -> None:
    """Let the app know that the client has gone, and keep nothing for it."""
    cycle.disconnected = True
    cycle.body = bytearray()
    cycle.message_event.set()


def _end_of_head(data: bytes) -> int:
    """Where the body begins; 0 where no head ends that is short enough to be remembered."""
    found = data.find(b"\r\n\r\n", 0, _KNOWN_BYTES)
    return 0 if found < 0 else found + 4
