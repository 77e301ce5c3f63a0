"""Which dimensions are dynamic and what they are called: reads the caller's declaration.

Not for: choosing the sizes at which to look at a model (`exporters.sizes`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import Dim

from bundle import DimensionRange
from exporters.calls import Call
from exporters.errors import DimensionInvalid

__all__ = [
    "BATCH",
    "Dimension",
    "Dimensions",
    "DynamicShapes",
    "declare",
]

BATCH = "batch"
"""What axis 0 of the inputs is called where no dynamic shapes are declared."""

DynamicShapes = Mapping[str, Any] | Sequence[Any]
"""As torch.export takes it, with a name wherever that takes a ``Dim``; by input or in order."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dynamic dimension, on one axis or several.

    Attributes:
        name: as it stands in the file and in the manifest.
        range: the sizes it is declared for.
        root: the dimension that its size is computed from, for one like ``2 * Dim("half")``.
        derive: how: size of the root → size.
    """

    name: str
    range: DimensionRange = field(default_factory=DimensionRange)
    root: str | None = None
    derive: Callable[[int], int] | None = None

    def allows(self, size: int) -> bool:
        """Whether the size is within the declared range."""
        maximum = self.range.maximum
        return self.range.minimum <= size and (maximum is None or size <= maximum)


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The dynamic dimensions of a call.

    Attributes:
        by_name: each dimension.
        axes: for each input tensor, in order: axis → name of its dimension.
        sizes: of each in the example.
    """

    by_name: Mapping[str, Dimension]
    axes: tuple[Mapping[int, str], ...]
    sizes: Mapping[str, int]

    def hints(self) -> tuple[dict[int, Any], ...]:
        """For torch.export: each axis dynamic with its range, whatever it is related to."""
        return tuple(
            {axis: _hint(self.by_name[name].range) for axis, name in axes.items()}
            for axes in self.axes
        )

    def batches(self) -> frozenset[str]:
        """The dimensions that are axis 0 of an input."""
        return frozenset(axes[0] for axes in self.axes if 0 in axes)

    def complete(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """All sizes: those given, those of the example, and those computed from them."""
        known = {**self.sizes, **sizes}
        for dimension in self.by_name.values():
            if dimension.root is not None and dimension.derive is not None:
                known[dimension.name] = dimension.derive(known[dimension.root])
        return known

    def free(self) -> tuple[Dimension, ...]:
        """The dimensions whose size is not computed from another's."""
        return tuple(d for d in self.by_name.values() if d.root is None)


def declare(
    call: Call, tensors: Sequence[torch.Tensor], dynamic_shapes: DynamicShapes | None
) -> Dimensions:
    """Read a declaration of dynamic shapes.

    Args:
        call: names the inputs.
        tensors: the example, which gives the sizes.
        dynamic_shapes: ``{"pixels": {0: "batch", 2: Dim("height", max=1024)}}`` by input, or a
            tuple in the order of the arguments, nested like them. Without it axis 0 of every input
            is a batch: all that have the first one's size are the same dimension.

    Raises:
        DimensionInvalid: a name, an axis or a kind of declaration that means nothing here, or one
            dimension with two sizes.
    """
    if dynamic_shapes is None:
        specs = _default_specs(call, tensors)
    else:
        _require_known(dynamic_shapes, call)
        specs = [
            _find(dynamic_shapes, name, path, call.arguments)
            for name, path in zip(call.names, call.paths, strict=True)
        ]
    by_name: dict[str, Dimension] = {}
    sizes: dict[str, int] = {}
    axes: list[dict[int, str]] = []
    for name, tensor, spec in zip(call.names, tensors, specs, strict=True):
        axes.append({})
        for axis, declared in _axes(spec, name, tensor):
            for dimension in _dimensions(declared, input_name=name, axis=axis):
                by_name.setdefault(dimension.name, dimension)
            axes[-1][axis] = dimension.name
            if not tensor.shape[axis]:
                raise DimensionInvalid(
                    f"dimension '{dimension.name}' (axis {axis} of '{name}') has nothing in the"
                    f" example, whose shape is {tuple(tensor.shape)}; give an example that has."
                )
            size = sizes.setdefault(dimension.name, tensor.shape[axis])
            if size != tensor.shape[axis]:
                raise DimensionInvalid(
                    f"dimension '{dimension.name}' has size {size} in one input and"
                    f" {tensor.shape[axis]} on axis {axis} of '{name}' (shape"
                    f" {tuple(tensor.shape)}); give different dimensions different names."
                )
    for dimension in by_name.values():
        if dimension.name not in sizes:
            sizes[dimension.name] = _root_size(dimension, by_name, sizes)
    return Dimensions(by_name=by_name, axes=tuple(axes), sizes=sizes)


def _default_specs(call: Call, tensors: Sequence[torch.Tensor]) -> list[dict[int, str]]:
    batch = next((tensor.shape[0] for tensor in tensors if tensor.ndim), None)

    def spec(name: str, tensor: torch.Tensor) -> dict[int, str]:
        if not tensor.ndim:
            return {}
        if tensor.shape[0] == batch:
            return {0: BATCH}
        # one of something, beside a batch of several, is for all of them
        return {} if tensor.shape[0] == 1 else {0: f"{name}_{BATCH}"}

    return [spec(name, tensor) for name, tensor in zip(call.names, tensors, strict=True)]


def _find(
    declared: DynamicShapes, name: str, path: Sequence[int | str], arguments: Sequence[str]
) -> Any:
    """What is declared for one tensor: by its own name, or along the way to it."""
    spec: Any = declared
    if isinstance(spec, Mapping) and name in spec:
        return spec[name]
    way = list(path)
    if not isinstance(spec, Mapping):
        way[0] = arguments.index(str(path[0]))
    for depth, key in enumerate(way):
        if depth and _is_axes(spec):
            break
        try:
            spec = spec[key]
        except (KeyError, IndexError, TypeError):
            return None
    return spec


def _axes(spec: Any, name: str, tensor: torch.Tensor) -> Iterator[tuple[int, Any]]:
    if spec is None:
        return
    if not _is_axes(spec):
        raise DimensionInvalid(
            f"the dynamic shape of '{name}' is {spec!r}; it is a dict from axis to name or Dim,"
            " or one entry for each axis."
        )
    items: Iterable[tuple[int, Any]]
    if isinstance(spec, Mapping):
        items = spec.items()
    elif len(spec) == tensor.ndim:
        items = enumerate(spec)
    else:
        raise DimensionInvalid(
            f"the dynamic shape of '{name}' has {len(spec)} entries; the example has"
            f" {tensor.ndim} axes (shape {tuple(tensor.shape)})."
        )
    for given, declared in items:
        axis = given + tensor.ndim if given < 0 else given
        if not 0 <= axis < tensor.ndim:
            raise DimensionInvalid(
                f"axis {given} of '{name}' is declared dynamic; the example has shape"
                f" {tuple(tensor.shape)}."
            )
        if isinstance(declared, int) and declared != tensor.shape[axis]:
            raise DimensionInvalid(
                f"axis {axis} of '{name}' is declared to be {declared}; the example has shape"
                f" {tuple(tensor.shape)}."
            )
        if not (declared is None or isinstance(declared, int) or declared is Dim.STATIC):
            yield axis, declared


def _dimensions(declared: Any, *, input_name: str, axis: int) -> tuple[Dimension, ...]:
    """The dimension that is declared, after the one it is computed from, if any."""
    if isinstance(declared, str):
        if not declared.isidentifier():
            raise DimensionInvalid(
                f"axis {axis} of '{input_name}' is called {declared!r}; a dimension's name is an"
                " identifier."
            )
        return (Dimension(declared),)
    root = getattr(declared, "root", None)
    if root is not None:
        derived = Dimension(declared.__name__, root=root.__name__, derive=declared.fn)
        return (Dimension(root.__name__, _range(root)), derived)
    if isinstance(declared, Dim):
        return (Dimension(declared.__name__, _range(declared)),)
    return (Dimension(f"{input_name}_{axis}", _range(declared)),)


def _range(declared: Any) -> DimensionRange:
    minimum, maximum = getattr(declared, "min", None), getattr(declared, "max", None)
    return DimensionRange(
        minimum=max(int(minimum or 1), 1),
        # torch's "no limit" is sympy's infinity
        maximum=int(maximum) if isinstance(maximum, int) else None,
    )


def _hint(allowed: DimensionRange) -> Any:
    if allowed.minimum <= 1 and allowed.maximum is None:
        return Dim.DYNAMIC
    return Dim.DYNAMIC(min=allowed.minimum, max=allowed.maximum)


def _root_size(
    dimension: Dimension, by_name: Mapping[str, Dimension], sizes: Mapping[str, int]
) -> int:
    """The size of a dimension that only others are computed from: found by trying."""
    for other in by_name.values():
        if other.root == dimension.name and other.derive is not None:
            wanted = sizes[other.name]
            for size in range(1, wanted + 1):
                if other.derive(size) == wanted:
                    return size
    raise DimensionInvalid(
        f"no size of dimension '{dimension.name}' gives the example's sizes of those that are"
        " computed from it."
    )


def _is_axes(spec: Any) -> bool:
    if spec is None:
        return True
    if isinstance(spec, Mapping):
        return all(isinstance(k, int) for k in spec) and all(map(_is_declared, spec.values()))
    return isinstance(spec, list | tuple) and all(map(_is_declared, spec))


def _is_declared(value: Any) -> bool:
    return value is None or isinstance(value, str | int | Dim | type(Dim.AUTO))


def _require_known(dynamic_shapes: DynamicShapes, call: Call) -> None:
    if not isinstance(dynamic_shapes, Mapping):
        return
    known = {*call.names, *(path[0] for path in call.paths)}
    unknown = [key for key in dynamic_shapes if key not in known]
    if unknown:
        raise DimensionInvalid(
            f"dynamic shapes are declared for {', '.join(map(repr, unknown))}; the inputs are"
            f" {', '.join(map(repr, call.names))}."
        )
