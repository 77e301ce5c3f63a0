"""What torch computes, as named numpy arrays: in the model's own precision and in float64.

Not for: tracing, ONNX, deciding whether results agree. Runs copies only.
"""

import copy
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from bundle import Datatype, compare, derive_tolerance
from exporters.calls import Call, Flat
from exporters.errors import ExportError, InputsInvalid, OutputsInvalid, first_line

__all__ = ["Eager", "to_numpy"]

_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16})
_CALLS = 8
"""With the same inputs. What a model does by chance may come out alike more than once."""
_TO_NARROW = frozenset({torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16})


class Eager:
    """A copy of the model in eval mode, run eagerly.

    Attributes:
        names: of the outputs, in order.
    """

    def __init__(self, flat: Flat, names: Sequence[str], *, is_float64: bool = False) -> None:
        self.names = tuple(names)
        self._flat = flat
        self._is_float64 = is_float64

    @classmethod
    def of(
        cls, flat: Flat, call: Call, example: Sequence[torch.Tensor], names: Sequence[str] | None
    ) -> "Eager":
        """Run the copy once on the example, to learn what it returns.

        Args:
            flat: the copy.
            call: whose input names the outputs must not have.
            example: inputs.
            names: for the outputs, instead of derived ones.

        Raises:
            InputsInvalid: the model raises on the example.
            OutputsInvalid: it returns no tensors, or the names do not fit them.
        """
        try:
            derived = list(flat.run(example))
        except ExportError:
            raise
        # The user's forward may raise anything.
        except Exception as err:
            raise InputsInvalid(
                f"the model raises on the example inputs in eval mode: {type(err).__name__}:"
                f" {first_line(err)}"
            ) from err
        if names is None:
            names = [f"{n}_output" if n in call.names else n for n in derived]
        _require_names(names, derived, call)
        return cls(flat, names)

    def run(self, tensors: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        """The outputs for some inputs."""
        outputs = self._run(tensors)
        return {name: to_numpy(t) for name, t in zip(self.names, outputs, strict=True)}

    def outputs_of(
        self, modules: Iterable[str], tensors: Sequence[torch.Tensor]
    ) -> dict[str, np.ndarray]:
        """What some modules return while the model runs.

        Args:
            modules: qualified names in the user's model.
            tensors: inputs of the model.

        Returns:
            By module; only those that ran exactly once and returned one tensor.
        """
        returned: dict[str, list[np.ndarray | None]] = {name: [] for name in modules}

        def keep(output: object, seen: list[np.ndarray | None]) -> None:
            # a copy: an activation in place changes what the module returned
            seen.append(to_numpy(output) if isinstance(output, torch.Tensor) else None)

        handles = [
            self._flat.model.get_submodule(name).register_forward_hook(
                lambda module, args, output, seen=seen: keep(output, seen)
            )
            for name, seen in returned.items()
        ]
        try:
            self._run(tensors)
        finally:
            for handle in handles:
                handle.remove()
        return {
            name: seen[0]
            for name, seen in returned.items()
            if len(seen) == 1 and seen[0] is not None
        }

    def left_out(self, tensors: Sequence[torch.Tensor]) -> tuple[str, ...]:
        """What the model returns that is no tensor and cannot be served."""
        return self._flat.left_out(tensors)

    def accepts(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether the model runs with these inputs at all."""
        try:
            self._run(tensors)
        except Exception:  # noqa: BLE001 - the user's forward may raise anything, which is the answer
            return False
        return True

    def changes(self, tensors: Sequence[torch.Tensor]) -> dict[str, float]:
        """By how much outputs differ from call to call with the same inputs, beyond rounding.

        Side effects: seeds the random generators of Python, NumPy and torch.
        """
        found: dict[str, float] = {}
        first: dict[str, np.ndarray] = {}
        for seed in range(_CALLS):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - the global one is what a model may draw from
            torch.manual_seed(seed)
            for name, again in self.run(tensors).items():
                difference = _difference(first.setdefault(name, again), again)
                if difference > 0:
                    found[name] = max(difference, found.get(name, 0.0))
        return found

    def in_float64(self, example: Sequence[torch.Tensor]) -> "Eager | None":
        """A copy that computes in float64 whatever its code says, or None where that fails."""
        twin = copy.deepcopy(self._flat.model).double()
        wide = Eager(Flat(twin, self._flat.call), self.names, is_float64=True)
        if not wide.accepts(example):
            return None
        are_wide = (
            array.dtype == np.float64 or narrow.dtype.kind in "biu"
            for array, narrow in zip(
                wide.run(example).values(), self.run(example).values(), strict=True
            )
        )
        return wide if all(are_wide) else None

    def _run(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if not self._is_float64:
            return tuple(self._flat.run(tensors).values())
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with _Float64():
                return tuple(self._flat.run([_widened(t) for t in tensors]).values())
        finally:
            torch.set_default_dtype(default)


class _Float64(TorchFunctionMode):
    """Makes float64 of every narrower float that code names: ``x.float()``, ``torch.half``."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _TO_NARROW:
            return args[0].double()
        args, kwargs = pytree.tree_map(_wide_dtype, (tuple(args), kwargs or {}))
        return func(*args, **kwargs)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array of the same type; bfloat16, which numpy has not, as ml_dtypes'."""
    plain = tensor.detach().cpu().contiguous().resolve_conj().resolve_neg()
    if plain.dtype is torch.bfloat16:
        bits = plain.view(torch.uint16).numpy()
        return np.array(bits.view(ml_dtypes.bfloat16))
    return np.array(plain.numpy())


def _difference(first: np.ndarray, again: np.ndarray) -> float:
    """The largest, 0 where it is rounding, and infinite where there is nothing to subtract."""
    if first.shape != again.shape or first.dtype != again.dtype:
        return math.inf
    if Datatype.from_numpy(first.dtype).is_float:
        tolerance = derive_tolerance(first.astype(np.float64), first)
        (compared,) = compare({"": first}, {"": again}, {"": tolerance})
    else:
        (compared,) = compare({"": first}, {"": again}, {})
    return 0.0 if compared.passed else compared.max_abs_error or math.inf


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _wide_dtype(value: Any) -> Any:
    return torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value


def _require_names(names: Sequence[str], derived: Sequence[str], call: Call) -> None:
    if len(names) != len(derived):
        raise OutputsInvalid(
            f"got {len(names)} output names ({', '.join(names)}) for {len(derived)} output"
            f" tensors ({', '.join(derived)})."
        )
    clashing = [name for name in names if name in call.names]
    if clashing or len(set(names)) != len(names) or not all(names):
        raise OutputsInvalid(
            f"output names must be distinct, not empty, and no input's; got {list(names)} beside"
            f" the inputs {list(call.names)}."
        )
