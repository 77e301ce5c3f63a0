"""The parameters of requests, inputs and outputs: which types they may have. Decides no numbers.

Sources: https://github.com/triton-inference-server/server, docs/protocol/extension_parameters.md,
extension_schedule_policy.md, extension_sequence.md. A parameter that nobody knows is ignored, as
the protocol has it; one that asks for something that this server does not do is refused, because
an answer that leaves it out would be a wrong one.
"""

from collections.abc import Mapping
from typing import Any

from bundle.tensors import TensorSpec
from service.classification import check_classifiable
from service.codec.text import kind, optional_object
from service.errors import ParameterInvalid, excerpt
from service.inference import Parameter

__all__ = [
    "check_request",
    "class_count",
    "flag",
    "input_parameters",
    "output_parameters",
    "refuse_shared_memory",
    "request_parameters",
    "size",
]

_SHARED_MEMORY = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")
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
    parameters = _parameters(request, of="the request")
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


def input_parameters(tensor: dict[str, Any], name: str) -> dict[str, Parameter]:
    """The parameters of one input.

    Raises:
        JsonInvalid: ``parameters`` is no object.
        ParameterInvalid: a value is an array or an object, or shared memory is asked for.
    """
    parameters = _parameters(tensor, of=f"input {excerpt(name)}")
    refuse_shared_memory(parameters, of=f"input {excerpt(name)}")
    return parameters


def output_parameters(tensor: dict[str, Any], name: str) -> dict[str, Parameter]:
    """The parameters of one wanted output.

    Raises:
        JsonInvalid: ``parameters`` is no object.
        ParameterInvalid: a value is an array or an object, or shared memory is asked for.
    """
    parameters = _parameters(tensor, of=f"output {excerpt(name)}")
    refuse_shared_memory(parameters, of=f"output {excerpt(name)}")
    return parameters


def class_count(parameters: Mapping[str, Parameter], output: TensorSpec) -> int | None:
    """How many classes are wanted in place of an output; ``None`` where it is wanted itself.

    Raises:
        ParameterInvalid: it is no number of classes, or the output has none.
    """
    count = parameters.get("classification")
    if count is None or (type(count) is int and count == 0):
        return None
    if type(count) is not int or count < 0:
        raise _wrong("classification", count, wanted="a number of classes, at least 0")
    check_classifiable(output.name, output.datatype)
    return count


def flag(parameters: dict[str, Parameter], name: str) -> bool | None:
    """A parameter that is true or false, or ``None`` where it was not given.

    Raises:
        ParameterInvalid: it is something else.
    """
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, value, wanted="true or false")
    return value


def size(parameters: dict[str, Parameter], name: str) -> int | None:
    """A parameter that is a number of bytes, or ``None`` where it was not given.

    Raises:
        ParameterInvalid: it is something else.
    """
    value = parameters.get(name)
    if value is not None and (type(value) is not int or value < 0):
        raise _wrong(name, value, wanted="a number of bytes, at least 0")
    return value


def _parameters(fields: dict[str, Any], *, of: str) -> dict[str, Parameter]:
    parameters = optional_object(fields, "parameters", of=of)
    for name, value in parameters.items():
        if isinstance(value, list | dict):
            raise ParameterInvalid(
                f"parameter {excerpt(name)} of {of} is {kind(value)};"
                " it must be a string, a number or a boolean"
            )
    return {name: value for name, value in parameters.items() if value is not None}


def refuse_shared_memory(parameters: Mapping[str, Parameter], *, of: str) -> None:
    """Refuse a tensor that is to be read from, or written to, shared memory.

    Raises:
        ParameterInvalid: it is.
    """
    asked = next((name for name in _SHARED_MEMORY if name in parameters), None)
    if asked is not None:
        raise ParameterInvalid(
            f"{of} has the parameter {asked!r}, and this server does not offer shared memory;"
            " send the tensor in the request"
        )


def _wrong(name: str, value: Parameter, *, wanted: str) -> ParameterInvalid:
    return ParameterInvalid(f"parameter {name!r} must be {wanted}; got {excerpt(value)}")
