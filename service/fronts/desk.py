"""The main process's end of one front: computes and counts what the front asks. Starts no process.

Requests come decoded and go as tensors; what they cost, and whether they may, is decided as for the
requests of this process: by the data plane.
"""

import asyncio
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bundle import BundleError
from service.errors import EngineFailed, ServiceError
from service.fronts.directory import Directory
from service.fronts.line import Line, Message
from service.fronts.messages import (
    ANSWER,
    ASK,
    COUNT,
    ENDED,
    REFUSE,
    VISIT,
    Elsewhere,
    laid,
    read,
    size_of,
)
from service.http.errors import response_to
from service.inference import InferenceReply, InferenceRequest, OutputTensor
from service.lifecycle import Service
from service.registry import ServedModel
from service.runner import Computed
from service.statistics import Passage

__all__ = ["Desk", "Visited"]

Visited = Callable[[int, Any, Any], None]
"""Takes a connection of the app's: its descriptor, and the addresses of its client and of here."""


class Desk:
    """Answers one front.

    Args:
        service: that computes.
        directory: the models as the fronts know them.
        visited: takes what is for the app.

    Attributes:
        line: to the front.
    """

    line: Line

    def __init__(self, service: Service, directory: Directory, *, visited: Visited) -> None:
        self._plane = service.plane
        self._traffic = service.traffic
        self._directory = directory
        self._visited = visited
        self._asked: dict[int, tuple[asyncio.Future[Any] | None, Passage]] = {}

    def received(self, message: Message, fds: Sequence[int]) -> None:
        """A message of the front."""
        kind, *rest = message
        if kind == ASK:
            self._ask(*rest)
        elif kind == ENDED:
            self._end(*rest)
        elif kind == COUNT:
            route, status = rest
            self._traffic.count_http("POST", route, status)
        elif kind == VISIT:
            self._visited(fds[0], *rest)

    def close(self) -> None:
        """The front is gone: nobody waits for what it has asked."""
        for number in list(self._asked):
            self._end(number, asyncio.CancelledError)

    def _ask(
        self,
        number: int,
        token: int,
        name: str,
        version: int | None,
        began_ns: int,
        parameters: Mapping[str, Any],
        inputs: Sequence[Any],
        outputs: tuple[str, ...],
        classes: Mapping[str, int],
        shared_inputs: Mapping[str, Any],
        shared_outputs: Mapping[str, Any],
    ) -> None:
        try:
            model = self._plane.model(name, version)
        except ServiceError:
            self._refuse(number, Elsewhere())
            return
        if not self._directory.is_current(token, model):  # the signature may be another
            self._refuse(number, Elsewhere())
            return
        passage = model.recorder.begin(began_ns)
        answer: asyncio.Future[Any]
        try:
            model.runner.require_room()
            request = InferenceRequest(
                id=None,
                parameters=parameters,
                inputs=read(inputs),
                outputs=outputs,
                classes=classes,
                shared_inputs=shared_inputs,
                shared_outputs=shared_outputs,
            )
            answer = (
                asyncio.ensure_future(self._plane.infer(model, request, passage))
                if request.is_shared
                else self._plane.begin(model, request, passage)
            )
        except Exception as err:  # noqa: BLE001  # the edge of the process, as in `Express`
            self._asked[number] = None, passage  # the front ends it
            self._refuse(number, err)
            return
        self._asked[number] = answer, passage
        answer.add_done_callback(partial(self._answered, number, model, request, passage))

    def _answered(
        self,
        number: int,
        model: ServedModel,
        request: InferenceRequest,
        passage: Passage,
        answer: "asyncio.Future[Computed] | asyncio.Future[InferenceReply]",
    ) -> None:
        if number not in self._asked:  # nobody waits for it any more
            return
        if answer.cancelled():
            self._refuse(number, None)
            return
        try:
            result = answer.result()
            if isinstance(result, Computed):
                result = self._plane.finish(model, request, passage, result)
            self._send(number, result)
        except Exception as err:  # noqa: BLE001  # the edge of the process, as above
            self._refuse(number, err)

    def _send(self, number: int, reply: InferenceReply) -> None:
        outputs = tuple(_laid(output) for output in reply.outputs)
        size = size_of(tensor for tensor, _ in outputs)
        try:
            self.line.send((ANSWER, number, dict(reply.parameters), outputs), size=size)
        except (OSError, MemoryError) as err:
            raise EngineFailed(f"there is no memory for the tensors of the reply: {err}") from err

    def _refuse(self, number: int, error: Exception | None) -> None:
        self.line.send((REFUSE, number, None if error is None else _sendable(error)))

    def _end(self, number: int, error: type[BaseException] | None) -> None:
        answer, passage = self._asked.pop(number)
        if answer is not None:
            answer.cancel()
        passage.end(error)


def _laid(output: OutputTensor) -> tuple[Any, Any]:
    name, datatype = output.spec.name, output.spec.datatype
    if output.placement is not None:  # it has its values already
        return (name, datatype.value, output.array.shape, b""), output.placement
    return laid(name, datatype, output.array), None


def _sendable(error: Exception) -> Exception:
    """What the front tells or, where the client is not to know it, logs: with the traceback."""
    if response_to(error) is None and not isinstance(error, Elsewhere):
        if not isinstance(error, ServiceError | BundleError):  # which can be sent as themselves
            error = RuntimeError(repr(error)).with_traceback(error.__traceback__)
        if not hasattr(error, "__notes__"):  # one error can be that of a whole batch
            error.add_note("".join(traceback.format_exception(error)))
    return error
