"""What a front asks instead of the data plane: the models it knows, and the main process behind.

It stands in the place of the `DataPlane` for `Express`.
"""

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bundle.tensors import Datatype, TensorSpec
from service.errors import EngineFailed, ModelUnknown, excerpt
from service.fronts.line import Line, Message
from service.fronts.messages import (
    ANSWER,
    ASK,
    COUNT,
    FORGET,
    KNOW,
    REFUSE,
    Laid,
    laid,
    read,
    size_of,
)
from service.fronts.model import (
    NOT_ASKED,
    FrontModel,
    FrontPassage,
    FrontRecorder,
    FrontRunner,
)
from service.inference import InferenceReply, InferenceRequest, OutputTensor, Parameter, Placement
from service.signature import Signature

__all__ = ["FrontPlane"]


class FrontPlane:
    """Asks the main process.

    Args:
        line: to it.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._recorder = FrontRecorder(line)
        self._runner = FrontRunner()
        self._models: dict[int, FrontModel] = {}
        self._versions: dict[str, dict[int, FrontModel]] = {}
        self._latest: dict[str, FrontModel] = {}
        self._numbers = itertools.count(NOT_ASKED + 1)
        self._asked: dict[int, tuple[asyncio.Future[InferenceReply], FrontModel, str | None]] = {}

    def received(self, message: Message) -> None:
        """A message of the main process about models and requests."""
        kind, *rest = message
        if kind == ANSWER:
            self._answer(*rest)
        elif kind == REFUSE:
            self._refuse(*rest)
        elif kind == KNOW:
            self._know(*rest)
        elif kind == FORGET:
            self._forget(*rest)

    def model(self, name: str, version: int | None = None) -> FrontModel:
        """The model that a request is for.

        Raises:
            ModelUnknown: none that is known here; the main process says what there is.
        """
        found = (
            self._latest.get(name) if version is None else self._versions.get(name, {}).get(version)
        )
        if found is None:
            raise ModelUnknown(f"nothing is known of a model {excerpt(name)} that answers")
        return found

    def begin(
        self, model: FrontModel, request: InferenceRequest, passage: FrontPassage
    ) -> asyncio.Future[InferenceReply]:
        """Have a request computed; to cancel the answer says that nobody waits any more.

        Raises:
            EngineFailed: there is no memory for its tensors.
        """
        inputs = tuple(
            laid(name, model.signature.input(name).datatype, array)
            for name, array in request.inputs.items()
        )
        number = next(self._numbers)
        question: Message = (
            ASK,
            number,
            model.token,
            model.name,
            model.asked,
            passage.began_ns,
            request.parameters,
            inputs,
            request.outputs,
            request.classes,
            request.shared_inputs,
            request.shared_outputs,
        )
        try:
            self._line.send(question, size=size_of(inputs))
        except (OSError, MemoryError) as err:
            raise EngineFailed(f"there is no memory for the tensors of the request: {err}") from err
        passage.number = number
        answer: asyncio.Future[InferenceReply] = asyncio.get_running_loop().create_future()
        self._asked[number] = (answer, model, request.id)
        answer.add_done_callback(lambda _: self._asked.pop(number, None))
        return answer

    infer = begin  # of a request with shared memory: the main process has that

    def count_http(self, _: str, route: str, status: int) -> None:
        """A request was answered; what `Traffic` has."""
        self._line.send((COUNT, route, status))

    def _know(self, token: int, name: str, version: int, signature: Signature) -> None:
        """A version answers from now on."""
        model = FrontModel(token, name, version, version, signature, self._recorder, self._runner)
        self._models[token] = model
        self._versions.setdefault(name, {})[version] = model
        self._choose_latest(name)

    def _forget(self, token: int) -> None:
        """It does not any more; another may have taken its place."""
        model = self._models.pop(token)
        versions = self._versions[model.name]
        if versions.get(model.version) is model:
            del versions[model.version]
            self._choose_latest(model.name)

    def _choose_latest(self, name: str) -> None:
        """The version that answers requests that name none: the highest."""
        versions = self._versions[name]
        if versions:
            self._latest[name] = replace(versions[max(versions)], asked=None)
        else:
            del self._versions[name], self._latest[name]

    def _answer(
        self,
        number: int,
        parameters: Mapping[str, Parameter],
        outputs: tuple[tuple[Laid, Placement | None], ...],
    ) -> None:
        """The main process has computed a request."""
        waiting = self._asked.get(number)
        if waiting is None or waiting[0].done():
            return
        answer, model, given_id = waiting
        answer.set_result(
            InferenceReply(
                model_name=model.name,
                model_version=model.version,
                id=given_id,
                outputs=tuple(_output(model, *output) for output in outputs),
                parameters=parameters,
            )
        )

    def _refuse(self, number: int, error: Exception | None) -> None:
        """The main process has not computed a request; without an error, it was cancelled."""
        waiting = self._asked.get(number)
        if waiting is None or waiting[0].done():
            return
        if error is None:
            waiting[0].cancel()
        else:
            waiting[0].set_exception(error)


def _output(model: FrontModel, tensor: Laid, placement: Placement | None) -> OutputTensor:
    name, datatype, shape, _ = tensor
    spec = model.signature.output(name)
    if spec.datatype.value != datatype:  # classes, in the output's place
        spec = TensorSpec(name=name, datatype=Datatype(datatype), shape=shape)
    if placement is not None:  # its values are in shared memory; only their shape is told
        return OutputTensor(
            spec, np.broadcast_to(np.empty((), spec.datatype.numpy), shape), placement
        )
    return OutputTensor(spec, read((tensor,))[name])
