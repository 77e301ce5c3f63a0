"""The model's call as named tensors in and named tensors out. Not for: sizes, tracing, checking.

A served model takes and gives a flat list of named tensors. A torch module takes positional and
keyword arguments, nested tuples, lists and dicts, constants beside tensors, and returns the like,
or a dataclass. `Call` is the mapping between the two, fixed by the example inputs; `Flat` is the
module with that mapping around it.
"""

import dataclasses
import enum
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

# The one pytree that torch.export itself flattens with; libraries register their containers there.
from torch.utils import _pytree as pytree

from exporters.errors import InputsInvalid
from exporters.outputs import flatten_output, name_of, what_is_left_out

__all__ = ["Call", "Example", "Flat"]

Example = torch.Tensor | Sequence[Any] | Mapping[str, Any]
"""One call: a tensor, a tuple of positional arguments, or a dict of arguments by name."""

_KEYWORDS = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """How flat, named tensors become the arguments of a module.

    Attributes:
        names: of the tensors, in the order of the arguments.
        paths: of each tensor: its argument's name first, then the way inside that.
        arguments: the names of all arguments that the example gives, in its order.
        constants: the leaves that are no tensors, by their place among all leaves.
        structure: the tree of all leaves.
    """

    names: tuple[str, ...]
    paths: tuple[tuple[int | str, ...], ...]
    arguments: tuple[str, ...]
    constants: Mapping[int, object]
    structure: pytree.TreeSpec

    @classmethod
    def of(cls, model: nn.Module, example: Example, names: Sequence[str] | None = None) -> "Call":
        """The mapping that an example of the inputs fixes.

        Args:
            model: whose ``forward`` gives the arguments their names.
            example: of the inputs. Leaves that are no tensors (None, bool, int, str …) become
                constants of the exported model.
            names: for the tensors, instead of those derived from the arguments.

        Raises:
            InputsInvalid: the example does not fit ``forward``, holds no tensor or a leaf that is
                neither tensor nor constant, or the names do not fit it.
        """
        given = _arguments(example)
        positional = _bind(model, given)
        leaves, structure = pytree.tree_flatten_with_path(given)
        constants: dict[int, object] = {}
        paths: list[tuple[int | str, ...]] = []
        for position, (keys, leaf) in enumerate(leaves):
            path = _path(keys, positional)
            if isinstance(leaf, torch.Tensor):
                paths.append(path)
            else:
                constants[position] = _require_constant(leaf, path)
        if not paths:
            raise InputsInvalid("the example inputs hold no tensor; a served model needs one.")
        derived = [name_of(path) for path in paths]
        chosen = tuple(derived) if names is None else tuple(names)
        _require_names(chosen, derived)
        return cls(
            names=chosen,
            paths=tuple(paths),
            arguments=(*positional, *given[_KEYWORDS]),
            constants=constants,
            structure=structure,
        )

    def tensors(self, example: Example) -> tuple[torch.Tensor, ...]:
        """Copies of the tensors of an example, detached and on the CPU, in the order of `names`.

        Raises:
            InputsInvalid: it is not built like the example that fixed this mapping.
        """
        leaves, structure = pytree.tree_flatten(_arguments(example))
        tensors, constants = [], {}
        for position, leaf in enumerate(leaves):
            if isinstance(leaf, torch.Tensor):
                tensors.append(leaf.detach().cpu().clone())
            else:
                constants[position] = leaf
        if structure != self.structure or constants != self.constants:
            raise InputsInvalid(
                "reference inputs must be built like the example inputs: the same arguments, the"
                f" same nesting, the same constants ({', '.join(self.names)}); got another"
                f" structure with {len(tensors)} tensors."
            )
        return tuple(tensors)

    def bind(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments that carry the tensors."""
        remaining = iter(tensors)
        leaves = [
            self.constants[position] if position in self.constants else next(remaining)
            for position in range(self.structure.num_leaves)
        ]
        args, kwargs = pytree.tree_unflatten(leaves, self.structure)
        return args, kwargs


class Flat(nn.Module):
    """A module that takes the flat tensors of a `Call` and returns a tuple of tensors.

    The module inside is named `MODEL`, which prefixes the scopes of everything traced through here.
    """

    MODEL = "model"

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the module inside and keep the tensors of what it returns."""
        return tuple(self.named(tensors).values())

    def run(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The outputs by their derived names; the tensors stay as they are, whatever is done."""
        return self.named([tensor.clone() for tensor in tensors])

    def left_out(self, tensors: Sequence[torch.Tensor]) -> tuple[str, ...]:
        """What the module returns beside tensors, None and plain constants: ``name (class)``."""
        args, kwargs = self.call.bind([tensor.clone() for tensor in tensors])
        return what_is_left_out(self.model(*args, **kwargs))

    def named(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same with the outputs' derived names."""
        args, kwargs = self.call.bind(tensors)
        return flatten_output(self.model(*args, **kwargs))


def _arguments(example: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example, torch.Tensor):
        return (example,), {}
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, list | tuple):
        return tuple(example), {}
    raise InputsInvalid(
        f"example inputs are a {type(example).__name__}; give a tensor, a tuple of positional"
        " arguments, or a dict of arguments by name."
    )


def _bind(model: nn.Module, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[str, ...]:
    """The names of the positional arguments, one for each."""
    args, kwargs = arguments
    signature = inspect.signature(model.forward)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as err:
        raise InputsInvalid(
            f"the example inputs do not fit {type(model).__name__}.forward{signature}: {err}."
        ) from err
    names: list[str] = []
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            names.extend(f"{name}_{position}" for position in range(len(value)))
        else:
            names.append(name)
    return tuple(names[: len(args)])


def _path(keys: Sequence[Any], positional: Sequence[str]) -> tuple[int | str, ...]:
    """A pytree path: its first key, which tells positional from keyword arguments, is left out."""
    steps = []
    for key in keys[1:]:
        step = getattr(key, "idx", getattr(key, "key", getattr(key, "name", key)))
        steps.append(step if isinstance(step, int) else str(step))
    if isinstance(steps[0], int):
        steps[0] = positional[steps[0]]
    return tuple(steps)


def _require_constant(leaf: object, path: Sequence[int | str]) -> object:
    if leaf is None or isinstance(
        leaf, bool | int | float | str | torch.dtype | torch.device | enum.Enum
    ):
        return leaf
    raise InputsInvalid(
        f"input '{name_of(path)}' is a {type(leaf).__name__}; inputs are tensors (use"
        " torch.from_numpy for arrays) or constants (None, bool, int, float, str)."
    )


def _require_names(names: Sequence[str], derived: Sequence[str]) -> None:
    if len(names) != len(derived):
        raise InputsInvalid(
            f"got {len(names)} input names ({', '.join(names)}) for {len(derived)} input tensors"
            f" ({', '.join(derived)})."
        )
    if len(set(names)) != len(names) or not all(names):
        raise InputsInvalid(f"input names must be distinct and not empty; got {list(names)}.")
