"""A front: a process that has clients' connections and a line to the main process. Starts none."""

import asyncio
import os
import pickle
import signal
import socket
from collections.abc import Sequence
from typing import NoReturn

import uvicorn

from service.fronts.express import FrontExpress
from service.fronts.line import Line, Message
from service.fronts.messages import LOG, STOP, TAKE, Birth
from service.fronts.plane import FrontPlane
from service.fronts.relay import Relay
from service.http.server import HttpServer
from service.log_settings import LogControl
from service.logs import configure_logging
from service.tls import Tls

__all__ = ["be_front"]


def be_front(fds: Sequence[int]) -> NoReturn:
    """Be one, until it is told to stop, or the main process is gone.

    Args:
        fds: the line, and the memory that has the `Birth`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the main process
        signal.signal(number, signal.SIG_IGN)
    line, memory = fds
    with os.fdopen(memory, "rb") as file:
        birth: Birth = pickle.load(file)  # noqa: S301  # of the main process
    settings = birth.settings
    logs = configure_logging(log_format=settings.log_format, level=settings.log_level)
    loop_factory = uvicorn.Config("", log_config=None).get_loop_factory()  # as in the main process
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_Front(birth, logs).serve(socket.socket(fileno=line)))
    os._exit(0)


class _Front:
    """What a front is made of, on the running event loop.

    Args:
        birth: what it was born with.
        logs: what it logs.
    """

    def __init__(self, birth: Birth, logs: LogControl) -> None:
        self._birth = birth
        self._logs = logs
        self._arriving: set[asyncio.Task[None]] = set()

    async def serve(self, end: socket.socket) -> None:
        """Answer until it is told to stop, then let the requests in flight finish."""
        self._line = Line(end, received=self._received, lost=_end)
        self._plane = FrontPlane(self._line)
        relay = Relay(self._line)
        settings = self._birth.settings
        tls = Tls.of(settings)
        share = max(1, settings.max_receiving_bytes // settings.http_workers)
        self._server = HttpServer(
            relay,
            settings.model_copy(update={"max_receiving_bytes": share}),
            listener=None,
            context=tls.context() if tls else None,
            express=FrontExpress(self._plane, relay, self._birth),
        )
        await self._server.serve()
        self._line.finish()

    def _received(self, message: Message, fds: Sequence[int]) -> None:
        kind, *rest = message
        if kind == TAKE:
            client = socket.socket(fileno=fds[0])
            arriving = asyncio.create_task(self._server.adopt(client))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)
        elif kind == LOG:
            self._logs.replace(*rest)
        elif kind == STOP:
            self._server.should_exit = True
        else:
            self._plane.received(message)


def _end() -> None:
    """The main process is gone."""
    os._exit(0)
