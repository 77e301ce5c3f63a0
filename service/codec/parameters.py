"""The parameters of requests, inputs and outputs: which types they may have. Decides no numbers.

Sources: https://github.com/triton-inference-server/server, docs/protocol/extension_parameters.md,
extension_schedule_policy.md, extension_sequence.md. A parameter that nobody knows is ignored, as
the protocol has it; one that asks for something that this server does not do is refused, because
an answer that leaves it out would be a wrong one.
"""

from collections.abc import Mapping
from typing import Any

from service.codec.text import kind, optional_object
from service.errors import ParameterInvalid, excerpt
from service.inference import Parameter, Placement

__all__ = [
    "check_request",
    "flag",
    "given_parameters",
    "placement",
    "placement_parameters",
    "request_parameters",
    "size",
]

_REGION = "shared_memory_region"
_OFFSET = "shared_memory_offset"
_BYTE_SIZE = "shared_memory_byte_size"
_PRIVATE_PREFIX = "triton_"
_UNSIGNED = frozenset({"priority", "timeout"})
_FLAGS = frozenset({"sequence_start", "sequence_end", "binary_data_output"})


def request_parameters(request: dict[str, Any]) -> dict[str, Parameter]:
    """The parameters of a request as a whole; those that are null are left out.

    Raises:
        JsonInvalid: ``parameters`` is no object.
        ParameterInvalid: a value is an array or an object, a name is reserved, or a parameter that
            the protocol defines has another type.
    """
    parameters = given_parameters(request, of="the request")
    check_request(parameters)
    return parameters


def check_request(parameters: Mapping[str, Parameter]) -> None:
    """Whether a request may have these parameters.

    Raises:
        ParameterInvalid: a name is reserved, or one that the protocol defines has another type.
    """
    for name, value in parameters.items():
        if name.startswith(_PRIVATE_PREFIX):
            raise ParameterInvalid(
                f"parameter {excerpt(name)} is refused: names that start with"
                f" {_PRIVATE_PREFIX!r} are reserved"
            )
        if name in _UNSIGNED and (type(value) is not int or value < 0):
            raise _wrong(name, value, wanted="an integer of at least 0")
        if name in _FLAGS and type(value) is not bool:
            raise _wrong(name, value, wanted="true or false")
        if name == "sequence_id" and not (isinstance(value, str) or type(value) is int):
            raise _wrong(name, value, wanted="an integer or a string")


def given_parameters(fields: dict[str, Any], *, of: str) -> dict[str, Parameter]:
    """The parameters of a request, an input or an output; those that are null are left out.

    Raises:
        JsonInvalid: ``parameters`` is no object.
        ParameterInvalid: a value is an array or an object.
    """
    parameters = optional_object(fields, "parameters", of=of)
    for name, value in parameters.items():
        if isinstance(value, list | dict):
            raise ParameterInvalid(
                f"parameter {excerpt(name)} of {of} is {kind(value)};"
                " it must be a string, a number or a boolean"
            )
    return {name: value for name, value in parameters.items() if value is not None}


def flag(parameters: Mapping[str, Parameter], name: str) -> bool | None:
    """A parameter that is true or false, or ``None`` where it was not given.

    Raises:
        ParameterInvalid: it is something else.
    """
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, value, wanted="true or false")
    return value


def size(parameters: Mapping[str, Parameter], name: str) -> int | None:
    """A parameter that is a number of bytes, or ``None`` where it was not given.

    Raises:
        ParameterInvalid: it is something else.
    """
    value = parameters.get(name)
    if value is not None and (type(value) is not int or value < 0):
        raise _wrong(name, value, wanted="a number of bytes, at least 0")
    return value


def placement(parameters: Mapping[str, Parameter], *, of: str) -> Placement | None:
    """Where in shared memory a tensor is, or goes to; ``None`` where it travels itself.

    Raises:
        ParameterInvalid: the place is not given whole, or with values of the wrong types.
    """
    if _REGION not in parameters:
        for stray in (_BYTE_SIZE, _OFFSET):
            if stray in parameters:
                raise ParameterInvalid(f"{of} has the parameter {stray!r} and no {_REGION!r}")
        return None
    region = parameters[_REGION]
    if not isinstance(region, str):
        raise _wrong(_REGION, region, wanted="a string")
    byte_size = size(parameters, _BYTE_SIZE)
    if byte_size is None:
        raise ParameterInvalid(f"{of} has the parameter {_REGION!r} and no {_BYTE_SIZE!r}")
    return Placement(region=region, offset=size(parameters, _OFFSET) or 0, byte_size=byte_size)


def placement_parameters(place: Placement) -> dict[str, Parameter]:
    """The parameters that say where in shared memory a tensor is."""
    parameters: dict[str, Parameter] = {_REGION: place.region, _BYTE_SIZE: place.byte_size}
    if place.offset:
        parameters[_OFFSET] = place.offset
    return parameters


def _wrong(name: str, value: Parameter, *, wanted: str) -> ParameterInvalid:
    return ParameterInvalid(f"parameter {name!r} must be {wanted}; got {excerpt(value)}")
