"""The quick way of infer requests: from the connection to the data plane and back.

An app is asked with a scope, a task and messages for each request, which takes many times what a
small model does. Here a request is its headers and its body, and its answer is bytes. Requests
about which nothing is out of the ordinary come this way, and get the answer that the app's route
would give them: the codec, the data plane, the guard, the errors, the log and the counts are the
same. All others are the app's.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, Self

import structlog
from fastapi import Response

from service.codec import DecodedRequest, decode_raw_request, decode_request
from service.dataplane import DataPlane
from service.errors import Overloaded, ServiceError
from service.guard import Guard
from service.http.bodies import QUICK_JSON_BYTES
from service.http.compression import Coding, negotiate
from service.http.errors import internal_error, response_to
from service.http.guard import caller_of
from service.http.paths import INFER, INFER_VERSION
from service.http.replies import Answer, answer_of, is_quick
from service.inference import InferenceReply
from service.lifecycle import Service
from service.logs import log_soon
from service.metrics import Traffic
from service.permissions import Need
from service.registry import ServedModel
from service.request_log import request_id_of, told
from service.runner import Computed
from service.settings import Settings
from service.statistics import Passage
from service.tracing import Tracing

__all__ = ["Connection", "Exchange", "Express", "Head", "Headers"]

_PATH: Final = re.compile(rb"/v2/models/([\w.-]+)(?:/versions/([1-9][0-9]{0,17}))?/infer")
_NUMBER: Final = re.compile(rb"[0-9]{1,19}")
_OUT_OF_THE_ORDINARY: Final = frozenset({b"content-encoding", b"expect", b"transfer-encoding"})
_CLIENT_WENT_AWAY: Final = 499
_REFUSALS_A_TURN: Final = 32
_MOST_HEADS: Final = 512

Headers = Sequence[tuple[bytes, bytes]]

_log = structlog.stdlib.get_logger(__name__)


class Connection(Protocol):
    """Where a request came from."""

    def reply(self, exchange: "Exchange", response: Answer | Response) -> None:
        """Send the response to a request, unless the client has gone."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request that may come this way: the same bytes always say the same.

    Attributes:
        model: name of the model.
        version: of the model, if the path has one.
        path: the path.
        size: bytes of the body.
        header_length: bytes of JSON before binary tensors, if the body has any.
        coding: of the answer.
        request_id: as the client gave it.
        headers: all of them.
        logged: what the log says of it.
    """

    model: str
    version: int | None
    path: str
    size: int
    header_length: int | None
    coding: Coding | None
    request_id: str
    headers: Headers
    logged: Mapping[str, Any]


class Exchange:
    """One request on this way, and what becomes of it.

    It stands in the place of uvicorn's cycle while its connection waits for the answer, and has
    what uvicorn asks of that.

    Args:
        connection: that it came on.
        head: of the request.

    Attributes:
        body: the pieces that have come.
        keep_alive: whether the connection stays open after the answer.
        response_complete: whether it was answered.
        response_started: the same.
        disconnected: whether the client has gone.
        message_event: nobody waits for it.
    """

    message_event = asyncio.Event()

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection = connection
        self.head = head
        self.request_id = request_id_of(head.request_id)
        self.began = time.perf_counter()
        self.body: list[bytes] = []
        self.bytes_in = 0
        self.keep_alive = True
        self.response_complete = self.response_started = self.disconnected = False
        self.answer: asyncio.Future[Any] | None = None

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        if self.answer is not None:
            self.answer.cancel()


class Express:
    """Answers such requests.

    Args:
        plane: what they ask.
        guard: before it.
        traffic: counts what is answered.
        tracing: while it is on, nothing comes this way.
        max_request_bytes: bytes that a body may have.
        compression_level: of the replies; 0 is none.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        guard: Guard,
        traffic: Traffic,
        tracing: Tracing,
        max_request_bytes: int,
        compression_level: int,
    ) -> None:
        self._plane = plane
        self._guard = guard
        self._traffic = traffic
        self._tracing = tracing
        self._most = max_request_bytes
        self._level = compression_level
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox: list[tuple[Exchange, Answer | Response]] = []
        self._heads: dict[bytes, Head] = {}
        self._turned_away: deque[tuple[Exchange, Overloaded]] = deque()

    @classmethod
    def of(cls, settings: Settings, service: Service) -> Self:
        """The one that goes with the app of `create_app`."""
        return cls(
            service.plane,
            guard=service.guard,
            traffic=service.traffic,
            tracing=service.tracing,
            max_request_bytes=settings.max_request_bytes,
            compression_level=settings.compression_level,
        )

    def read(self, url: bytes, headers: Headers) -> Head | None:
        """What a head says; ``None`` where its request is for the app."""
        found = _PATH.fullmatch(url)
        fields = dict(headers)
        if (
            found is None
            or len(fields) != len(headers)
            or not _OUT_OF_THE_ORDINARY.isdisjoint(fields)
        ):
            return None
        size = _number(fields.get(b"content-length"))
        header_length = _number(fields.get(b"inference-header-content-length"))
        if size is None or size > self._most:
            return None
        if header_length is None and b"inference-header-content-length" in fields:
            return None
        if (size if header_length is None else header_length) > QUICK_JSON_BYTES:
            return None
        accepted = fields.get(b"accept-encoding", b"").decode("latin-1")
        model, path = found[1].decode(), url.decode()
        version = None if found[2] is None else found[2].decode()
        return Head(
            model=model,
            version=None if version is None else int(version),
            path=path,
            size=size,
            header_length=header_length,
            coding=negotiate(accepted) if self._level else None,
            request_id=fields.get(b"x-request-id", b"").decode("latin-1"),
            headers=headers,
            logged=told(event="request", method="POST", path=path, model=model, version=version),
        )

    def known(self, head: bytes) -> Head | None:
        """What a head says that was read before, given as it was sent."""
        return self._heads.get(head)

    def remember(self, sent: bytes, head: Head) -> None:
        """Know a head the next time; most clients send the same one again and again."""
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[sent] = head

    def take(self, connection: Connection, head: Head) -> Exchange | None:
        """A request whose head has come; ``None`` where it is for the app."""
        if self._tracing.is_on:
            return None
        try:
            if not self._guard.lets_everybody(Need.INFER):
                self._guard.check(Need.INFER, caller_of(head.headers))
            self._plane.model(head.model, head.version)
        except ServiceError:
            return None
        return Exchange(connection, head)

    def give_up(
        self, exchange: Exchange, status: int = _CLIENT_WENT_AWAY, error: str | None = None
    ) -> None:
        """A request will not be whole.

        Args:
            exchange: the request.
            status: what its connection has told the client; that it has gone, if left out.
            error: the same in words.
        """
        exchange.body.clear()
        self._count(exchange, int(status), bytes_out=0, error=error)

    def begin(self, exchange: Exchange) -> None:
        """Answer a request that is whole."""
        body = exchange.body[0] if len(exchange.body) == 1 else b"".join(exchange.body)
        exchange.body.clear()
        exchange.bytes_in = len(body)
        try:
            head = exchange.head
            model = self._plane.model(head.model, head.version)
        except ServiceError as err:  # it was there when the head came
            self._fail(exchange, err)
            return
        passage = model.recorder.begin()
        try:
            model.runner.require_room()
        except Overloaded as err:
            passage.end(Overloaded)
            self._turn_away(exchange, err)
            return
        try:
            decoded = (
                decode_raw_request(body, model.signature)
                if head.header_length == 0
                else decode_request(
                    body,
                    model.signature,
                    header_length=head.header_length,
                    outlines=model.outlines,
                )
            )
            request = decoded.request
            answer = (
                asyncio.ensure_future(self._plane.infer(model, request, passage))
                if request.is_shared
                else self._plane.begin(model, request, passage)
            )
        # the edge of the process, as in the app: a bug costs this request a 500
        except Exception as err:  # noqa: BLE001
            passage.end(type(err))
            self._fail(exchange, err)
            return
        exchange.answer = answer
        answer.add_done_callback(partial(self._answered, exchange, model, decoded, passage))

    def _answered(
        self,
        exchange: Exchange,
        model: ServedModel,
        decoded: DecodedRequest,
        passage: Passage,
        answer: "asyncio.Future[Computed] | asyncio.Future[InferenceReply]",
    ) -> None:
        if answer.cancelled():
            passage.end(asyncio.CancelledError)
            self._count(exchange, _CLIENT_WENT_AWAY, bytes_out=0)
            return
        try:
            result = answer.result()
            if isinstance(result, Computed):
                result = self._plane.finish(model, decoded.request, passage, result)
            binary, coding = decoded.binary_outputs, exchange.head.coding
            respond = partial(
                answer_of, result, binary_outputs=binary, coding=coding, level=self._level
            )
            if is_quick(result, binary_outputs=binary, coding=coding):
                response = respond()
            else:
                task = asyncio.create_task(self._answer_later(exchange, passage, respond))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
        except Exception as err:  # noqa: BLE001  # the edge of the process, as above
            passage.end(type(err))
            self._fail(exchange, err)
        else:
            passage.end()
            self._send(exchange, response)

    async def _answer_later(
        self, exchange: Exchange, passage: Passage, respond: Callable[[], Answer]
    ) -> None:
        try:
            response = await asyncio.to_thread(respond)
        except Exception as err:  # noqa: BLE001  # the edge of the process, as above
            passage.end(type(err))
            self._fail(exchange, err)
        else:
            passage.end()
            self._send(exchange, response)

    def _turn_away(self, exchange: Exchange, error: Overloaded) -> None:
        """Refuse it soon: a few in each turn of the loop, so that what is computed goes on."""
        if not self._turned_away:
            asyncio.get_running_loop().call_soon(self._refuse_some)
        self._turned_away.append((exchange, error))

    def _refuse_some(self) -> None:
        for _ in range(min(_REFUSALS_A_TURN, len(self._turned_away))):
            self._fail(*self._turned_away.popleft())
        if self._turned_away:
            asyncio.get_running_loop().call_soon(self._refuse_some)

    def _fail(self, exchange: Exchange, error: Exception) -> None:
        response = response_to(error)
        if response is None:
            _log.error("unexpected error", exc_info=error, request_id=exchange.request_id)
            self._send(exchange, internal_error())
        else:
            self._send(exchange, response, error=str(error))

    def _send(
        self, exchange: Exchange, response: Answer | Response, *, error: str | None = None
    ) -> None:
        response.raw_headers.append((b"x-request-id", exchange.request_id.encode()))
        if not self._outbox:
            # after all that is answered in this turn of the loop: a client that sleeps is woken
            # once by answers that come together, and once by each that does not
            asyncio.get_running_loop().call_soon(self._post)
        self._outbox.append((exchange, response))
        status = int(response.status_code)  # an enumeration's member would be logged as such
        self._count(exchange, status, bytes_out=len(response.body), error=error)

    def _post(self) -> None:
        outbox, self._outbox = self._outbox, []
        for exchange, response in outbox:
            exchange.connection.reply(exchange, response)

    def _count(
        self, exchange: Exchange, status: int, *, bytes_out: int, error: str | None = None
    ) -> None:
        head = exchange.head
        route = INFER if head.version is None else INFER_VERSION
        self._traffic.count_http("POST", route, status)
        line = {
            **head.logged,
            "status": status,
            "duration_ms": round((time.perf_counter() - exchange.began) * 1e3, 3),
            "bytes_in": exchange.bytes_in,
            "bytes_out": bytes_out,
            "request_id": exchange.request_id,
        }
        log_soon(line if error is None else line | told(error=error), has_context=False)


def _number(header: bytes | None) -> int | None:
    return int(header) if header is not None and _NUMBER.fullmatch(header) else None
