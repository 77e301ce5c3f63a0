"""The fronts: started, given connections in turn, replaced when they end, stopped."""

import asyncio
import os
import pickle
import socket
import threading
import time
from typing import Final

import structlog

from service.engine import Worker, Zygote, ZygoteGone
from service.errors import EngineFailed
from service.fronts.desk import Desk, Visited
from service.fronts.directory import Directory
from service.fronts.front import be_front
from service.fronts.line import Line, Message
from service.fronts.messages import LOG, STOP, TAKE, Birth
from service.lifecycle import Service
from service.log_settings import LogSettings
from service.settings import Settings

__all__ = ["Fronts"]

_ENTRY: Final = f"{be_front.__module__}:{be_front.__name__}"
_FAREWELL_S: Final = 5.0
"""That a front may take to end, beside the time that its requests have."""
_SHORT_LIFE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 5.0
_ACCEPT_PAUSE_S: Final = 0.1
"""After a connection could not be accepted: there are no descriptors left, mostly."""

_log = structlog.stdlib.get_logger(__name__)


class Fronts:
    """As many fronts as the settings say.

    Args:
        service: what they ask.
        settings: of it.
        zygote: what they are forked from.
        visited: takes what they pass on to the app.
    """

    def __init__(
        self, service: Service, settings: Settings, *, zygote: Zygote, visited: Visited
    ) -> None:
        self._service = service
        self._settings = settings
        self._zygote = zygote
        self._visited = visited
        self._directory = Directory(service.registry)
        self._desks: list[Desk] = []
        self._there = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self._lock = threading.Lock()

    async def start(self) -> None:
        """Start them, and replace each that ends from now on."""
        self._loop = asyncio.get_running_loop()
        self._service.registry.follow(self._models_changed)
        self._service.plane.logs.follow(self._tell_log)
        for _ in range(self._settings.http_workers):
            self._keepers.append(asyncio.create_task(self._keep()))

    async def accept(self, listener: socket.socket) -> None:
        """Deal out the connections that come, in turn."""
        loop = asyncio.get_running_loop()
        listener.settimeout(0)
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            await self._there.wait()
            desk = self._desks.pop(0)
            self._desks.append(desk)
            desk.line.send((TAKE,), fds=[client.detach()])

    async def stop(self) -> None:
        """Let each finish its requests, within the time for that, and end."""
        self._is_stopping = True
        self._tell((STOP,))
        if self._keepers:
            grace_s = self._settings.shutdown_grace_s + _FAREWELL_S
            _, late = await asyncio.wait(self._keepers, timeout=grace_s)
            for keeper in late:  # what they hold is ended with what they were forked from
                keeper.cancel()

    async def _keep(self) -> None:
        """One front after another."""
        pause_s = 0.0
        while not self._is_over():
            began = time.monotonic()
            try:
                how = await self._run()
            except (EngineFailed, OSError) as err:
                how = str(err)
            if self._is_over():
                return
            _log.error("HTTP process ended", how=how)
            is_short = time.monotonic() - began < _SHORT_LIFE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s + _ACCEPT_PAUSE_S, _LONGEST_PAUSE_S) if is_short else 0.0

    async def _run(self) -> str:
        """A front, until it has ended; tells how.

        Raises:
            EngineFailed: it cannot be started.
            OSError: the same: there are no descriptors left, mostly.
        """
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            front = await asyncio.to_thread(self._spawn, there)
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        ended = asyncio.Event()
        desk = Desk(self._service, self._directory, visited=self._visited)

        def lost() -> None:
            self._desks.remove(desk)
            if not self._desks:
                self._there.clear()
            desk.close()
            ended.set()

        desk.line = Line(here, received=desk.received, lost=lost)
        self._tell_models()
        for message in self._directory.all():
            desk.line.send(message)
        desk.line.send((LOG, self._service.plane.logs.settings))
        self._desks.append(desk)
        self._there.set()
        _log.info("HTTP process started", pid=front.pid)
        if self._is_over():
            desk.line.send((STOP,))
        await ended.wait()
        return await asyncio.to_thread(self._zygote.bury, front)

    def _is_over(self) -> bool:
        return self._is_stopping

    def _spawn(self, there: socket.socket) -> Worker:
        """Fork a front. On a thread: it takes some milliseconds."""
        service = self._service
        birth = Birth(
            settings=self._settings,
            guard=service.guard,
            is_tracing=service.tracing.is_on,
        )
        memory = os.memfd_create("normserve")
        try:
            with os.fdopen(os.dup(memory), "wb") as file:
                pickle.dump(birth, file)
            os.lseek(memory, 0, os.SEEK_SET)
            with self._lock:
                try:
                    return self._zygote.spawn_at(_ENTRY, [there.fileno(), memory])
                except ZygoteGone:
                    self._zygote = Zygote.launch()  # it ends with this process
                    return self._zygote.spawn_at(_ENTRY, [there.fileno(), memory])
        finally:
            os.close(memory)

    def _models_changed(self) -> None:
        """They did, on any thread."""
        if not self._is_stopping:
            self._loop.call_soon_threadsafe(self._tell_models)

    def _tell_models(self) -> None:
        for message in self._directory.update():
            self._tell(message)

    def _tell_log(self, settings: LogSettings) -> None:
        self._tell((LOG, settings))

    def _tell(self, message: Message) -> None:
        for desk in self._desks:
            desk.line.send(message)
