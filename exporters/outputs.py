"""What a module returns as named tensors. Not for: what it takes (`exporters.calls`)."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

# The one pytree that torch.export itself flattens with; libraries register their containers there.
from torch.utils import _pytree as pytree

from exporters.errors import OutputsInvalid

__all__ = ["flatten_output", "name_of", "what_is_left_out"]


def name_of(path: Sequence[int | str]) -> str:
    """A name from the way to a tensor: ``("hidden_states", 0)`` → ``hidden_states_0``."""
    return re.sub(r"\W", "_", "_".join(map(str, path)))


def flatten_output(returned: object) -> dict[str, torch.Tensor]:
    """The tensors of what a module returned, by derived names.

    A single tensor is ``output``; members of a sequence are numbered (``output_0``); fields of
    dicts, dataclasses and named tuples keep their names; nesting joins names with ``_``. None and
    constants are left out, as are objects that torch cannot look into.

    Raises:
        OutputsInvalid: there is no tensor in it, or two would have the same name.
    """
    found: dict[str, torch.Tensor] = {}
    for path, tensor in _leaves(returned, ()):
        if not isinstance(tensor, torch.Tensor):
            continue
        keyed = path and isinstance(path[0], str)
        name = name_of(path if keyed else ("output", *path))
        if name in found:
            raise OutputsInvalid(
                f"two outputs would be named '{name}'; return a dict with distinct keys."
            )
        if tensor.layout is not torch.strided or tensor.is_nested:
            raise OutputsInvalid(
                f"output '{name}' is a {'nested' if tensor.is_nested else tensor.layout} tensor;"
                " return a dense one (to_dense(), to_padded_tensor())."
            )
        found[name] = tensor
    if not found:
        raise OutputsInvalid(
            f"the model returns no tensor but {type(returned).__name__}; return a tensor, or a"
            " tuple, dict or dataclass of tensors."
        )
    return found


def what_is_left_out(returned: object) -> tuple[str, ...]:
    """What a module returned beside tensors, None and plain constants: ``name (class)``."""
    return tuple(
        f"{name_of(path or ('output',))} ({type(value).__name__})"
        for path, value in _leaves(returned, ())
        if not (value is None or isinstance(value, torch.Tensor | bool | int | float | str))
    )


def _leaves(
    value: object, path: tuple[int | str, ...]
) -> Iterator[tuple[tuple[int | str, ...], object]]:
    members = None if isinstance(value, torch.Tensor) else _members(value)
    if members is None:
        yield path, value
        return
    for key, member in members:
        yield from _leaves(member, (*path, key))


def _members(value: object) -> Iterable[tuple[int | str, object]] | None:
    """What is inside a container, or None where it is none."""
    if isinstance(value, Mapping):
        return [(str(key), member) for key, member in value.items()]
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if isinstance(value, list | tuple):
        return enumerate(value)
    leaves, structure = pytree.tree_flatten(value)
    return None if structure.is_leaf() else enumerate(leaves)
