"""Which outputs a request wants and how, whatever transport it came by. Encodes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bundle.tensors import TensorSpec
from service.classification import check_classifiable
from service.codec.parameters import flag, placement
from service.errors import ParameterInvalid, excerpt
from service.inference import Parameter, Placement
from service.signature import Signature

__all__ = ["WantedOutputs", "wanted_outputs"]


@dataclass(frozen=True, slots=True)
class WantedOutputs:
    """The outputs that a request wants.

    Attributes:
        names: in the model's order, each once.
        classes: how many classes are wanted in place of an output, by its name.
        placements: where in shared memory outputs go that do not go with the reply, by name.
        binary: whether an output travels as binary tensor data, where the request says it.
    """

    names: tuple[str, ...]
    classes: dict[str, int]
    placements: dict[str, Placement]
    binary: dict[str, bool]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked of one output; None where nothing is."""

    classes: int | None = None
    placement: Placement | None = None
    binary: bool | None = None


_AS_USUAL = _Wanted()


def wanted_outputs(
    listed: Iterable[tuple[str, Mapping[str, Parameter]]], signature: Signature
) -> WantedOutputs:
    """What a request asks of the outputs; all of them are wanted if it lists none.

    Args:
        listed: the name and the parameters of each that it lists.
        signature: of the model that is asked.

    Raises:
        OutputUnknown: the model has no such output.
        ParameterInvalid: a parameter is wrong, contradicts another, an output is listed twice
            with different parameters, or more are listed again than the model has.
    """
    wanted: dict[str, _Wanted] = {}
    most = 2 * len(signature.outputs)
    for count, (name, parameters) in enumerate(listed, start=1):
        output = _wanted(parameters, signature.output(name))
        if count > most:
            raise ParameterInvalid(
                f"more than {most} outputs are listed, and the model has"
                f" {len(signature.outputs)}; list each once"
            )
        if wanted.setdefault(name, output) != output:
            raise ParameterInvalid(
                f"output {excerpt(name)} is listed twice with different parameters; list it once"
            )
    if not wanted:
        return WantedOutputs(names=signature.select(()), classes={}, placements={}, binary={})
    each = wanted.items()
    return WantedOutputs(
        names=signature.select(wanted),
        classes={name: output.classes for name, output in each if output.classes is not None},
        placements={name: output.placement for name, output in each if output.placement},
        binary={name: output.binary for name, output in each if output.binary is not None},
    )


def _wanted(parameters: Mapping[str, Parameter], spec: TensorSpec) -> _Wanted:
    if not parameters:
        return _AS_USUAL
    of = f"output {excerpt(spec.name)}"
    output = _Wanted(
        classes=_class_count(parameters, spec),
        placement=placement(parameters, of=of),
        binary=flag(parameters, "binary_data"),
    )
    if output.classes is not None and output.placement is not None:
        raise ParameterInvalid(
            f"{of} is asked for as classes and in shared memory; classes go with the reply only"
        )
    return output


def _class_count(parameters: Mapping[str, Parameter], spec: TensorSpec) -> int | None:
    count = parameters.get("classification")
    if count is None or (type(count) is int and count == 0):
        return None
    if type(count) is not int or count < 0:
        raise ParameterInvalid(
            "parameter 'classification' must be a number of classes, at least 0;"
            f" got {excerpt(count)}"
        )
    check_classifiable(spec.name, spec.datatype)
    return count
