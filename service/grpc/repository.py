"""The index, loading and unloading over gRPC. Decides nothing: `service.control` does.

Source: https://github.com/triton-inference-server/server, in docs/protocol
extension_model_repository.md. KServe's and MLServer's messages to load and unload have the model
where Triton's have the repository.
"""

from typing import Any

from service.control import ModelControl
from service.dataplane import DataPlane
from service.errors import RepositoryUnknown
from service.grpc.schema import message
from service.registry import State
from service.repository import GivenModel, check_parameters

__all__ = ["RepositoryMethods"]

_Index = message("RepositoryIndexResponse")
_Load = message("RepositoryModelLoadResponse")
_Unload = message("RepositoryModelUnloadResponse")


class RepositoryMethods:
    """The three methods, for what has a data plane and a control."""

    _plane: DataPlane
    _control: ModelControl

    async def repository_index(self, request: Any) -> Any:
        """Every version of every model and its state."""
        if request.repository_name:
            raise RepositoryUnknown(request.repository_name)
        response = _Index()
        for entry in self._plane.index():
            if not request.ready or entry.state is State.READY:
                response.models.add(
                    name=entry.name,
                    version=str(entry.version),
                    state=entry.state.value,
                    reason=entry.reason,
                )
        return response

    async def repository_model_load(self, request: Any) -> Any:
        """Load a model, or load it again."""
        name = _model_of(request)
        parameters = {key: _value(value) for key, value in request.parameters.items()}
        await self._control.load(name, GivenModel.of_parameters(parameters))
        return _Load()

    async def repository_model_unload(self, request: Any) -> Any:
        """Take a model out of service."""
        name = _model_of(request)
        check_parameters(request.parameters)
        await self._control.unload(name)
        return _Unload()


def _model_of(request: Any) -> str:
    """The model, wherever the client's message has it; there is one repository, without a name."""
    if request.model_name and request.repository_name:
        raise RepositoryUnknown(request.repository_name)
    name: str = request.model_name or request.repository_name
    return name


def _value(parameter: Any) -> object:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)
