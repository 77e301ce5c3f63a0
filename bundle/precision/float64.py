"""A model's own graph in float64: the reference where there is no torch. Not for: serving.

Each node runs as ONNX's reference implementation has it (numpy, `onnx.reference`), its inputs and
weights in float64. That is a second implementation of every operator beside ONNX Runtime's, and one
without float32's rounding. A node that it has none for runs on ONNX Runtime in the types that the
file declares, and is listed.

The same walk can round each result to the type that the file declares for it. That is what an ideal
machine of those types gives, whatever the kernels of this one: ONNX Runtime's CPU provider computes
most float16 operators in float32 and takes the conversions between them out, so that what overflows
on a GPU does not overflow there.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import inliner, numpy_helper
from onnx.reference import ReferenceEvaluator

from bundle.certificate import Operator
from bundle.errors import BundleError, InputInvalid, RunFailed
from bundle.lowering import lower_normalizations
from bundle.opener import OpenModel, open_model
from bundle.precision.nodes import alone, captured, element_types, widened
from bundle.tensors import Datatype

__all__ = ["Dispute", "Float64Model"]

_FLOATS = frozenset(kind.onnx for kind in Datatype if kind.is_float)
_FLOAT_DTYPES = frozenset(kind.numpy for kind in Datatype if kind.is_float)
_MOST = 1e-3
"""Of the largest value: what two evaluations of one node differ by at most for rounding."""
_REFERENCE_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What the reference implementations raise where they have no answer."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A node that two implementations compute differently.

    Attributes:
        operator: the node.
        apart: the largest difference, as part of the largest value.
    """

    operator: Operator
    apart: float


@dataclass(frozen=True, slots=True)
class _Step:
    """One node, and the names of all that it reads, those in its subgraphs too."""

    node: onnx.NodeProto
    reads: tuple[str, ...]


class Float64Model:
    """A graph that runs in float64, node by node. Not safe to run from several threads at once.

    Args:
        model: with its weights inside; stays as it is.
        rounded: round each node's results to the types that the file declares.

    Attributes:
        narrow: the nodes that ran on ONNX Runtime so far, because there is no other implementation;
            by their first output.
    """

    def __init__(self, model: onnx.ModelProto, *, rounded: bool = False) -> None:
        whole = onnx.ModelProto()
        whole.CopyFrom(inliner.inline_local_functions(model) if model.functions else model)
        lower_normalizations(whole)  # the reference implementation has none
        self.narrow: set[str] = set()
        self._model = whole
        self._outputs = tuple(value.name for value in whole.graph.output)
        self._weights = {t.name: _wide(numpy_helper.to_array(t)) for t in whole.graph.initializer}
        self._inputs = {v.name for v in whole.graph.input} - self._weights.keys()
        self._opsets = {each.domain: each.version for each in whole.opset_import}
        self._steps = tuple(
            _Step(node, tuple(dict.fromkeys([*filter(None, node.input), *captured(node)])))
            for node in whole.graph.node
        )
        self._types = element_types(whole)
        self._rounded = rounded
        self._wide: dict[str, ReferenceEvaluator] = {}
        self._opened: dict[str, OpenModel] = {}

    def run(
        self, feeds: Mapping[str, np.ndarray], wanted: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        """The outputs, or any values of the graph that are wanted, floats in float64.

        Args:
            feeds: an array for each input, in any float type.
            wanted: names of inputs, outputs or inner values; the outputs where it is left out.

        Returns:
            The arrays by name; a name that the graph does not have is left out.

        Raises:
            InputInvalid: an input is missing or unknown, or does not fit the graph.
            RunFailed: neither implementation can run a node.
        """
        names = set(self._outputs if wanted is None else wanted)
        kept: dict[str, np.ndarray] = {}

        def keep(name: str, value: Any) -> None:
            if name in names and isinstance(value, np.ndarray):
                kept[name] = value

        self.visit(feeds, keep)
        return kept

    def visit(self, feeds: Mapping[str, np.ndarray], see: Callable[[str, Any], None]) -> None:
        """Run the graph and show every value as it comes: weights, inputs, then node by node.

        A value is held only as long as a later node reads it.

        Args:
            feeds: as `run` takes them.
            see: called with each value's name, and the value.

        Raises:
            InputInvalid: an input is missing or unknown.
            RunFailed: neither implementation can run a node.
        """
        if feeds.keys() != self._inputs:
            raise InputInvalid(
                f"got the inputs {sorted(feeds)}; the model wants {sorted(self._inputs)}."
            )
        left = Counter(name for step in self._steps for name in step.reads)
        known = {**self._weights, **{name: _wide(array) for name, array in feeds.items()}}
        for name, value in known.items():
            see(name, value)
        with np.errstate(all="ignore"):
            for step in self._steps:
                for name, value in self._run(step, known).items():
                    known[name] = value
                    see(name, value)
                left.subtract(step.reads)
                for name in {*step.reads, *step.node.output}:
                    if not left[name]:
                        known.pop(name, None)

    def distrust(self, feeds: Mapping[str, np.ndarray]) -> tuple[Dispute, ...]:
        """Run every node in both implementations, and leave those to ONNX Runtime that differ.

        The reference implementations know some operators less well than ONNX Runtime does
        (sequence lengths of a GRU, the results of a Loop). Where the two are further apart than
        float32 explains, one of them is wrong, and `run` takes ONNX Runtime's from then on.

        Args:
            feeds: inputs of the model.

        Raises:
            RunFailed: neither implementation can run a node.
        """
        disputes = []
        known = {**self._weights, **{name: _wide(array) for name, array in feeds.items()}}
        with np.errstate(all="ignore"):
            for step in self._steps:
                result = self._run(step, known)
                if step.node.output[0] not in self.narrow:
                    other = self._run_narrow_or_not(step, known)
                    error = max((_apart(result[n], v) for n, v in other.items()), default=0.0)
                    if error > _MOST:
                        disputes.append(Dispute(Operator.of(step.node), error))
                        self.narrow.add(step.node.output[0])
                        result = other
                known |= result
        return tuple(disputes)

    def _run(self, step: _Step, known: Mapping[str, Any]) -> dict[str, Any]:
        key = step.node.output[0]
        if key not in self.narrow:
            try:
                return self._run_wide(step, known)
            except _REFERENCE_ERRORS:
                self.narrow.add(key)
        try:
            return self._run_narrow(step, known)
        except (BundleError, KeyError) as err:
            raise RunFailed(
                f"{step.node.op_type} '{step.node.name or key}' runs neither in float64 nor alone"
                f" on ONNX Runtime: {err}"
            ) from err

    def _run_wide(self, step: _Step, known: Mapping[str, Any]) -> dict[str, Any]:
        key = step.node.output[0]
        if key not in self._wide:
            self._wide[key] = ReferenceEvaluator(
                alone(widened(step.node), step.reads), self._opsets
            )
        outputs = self._wide[key].run(None, {name: known[name] for name in step.reads})
        names = [name for name in step.node.output if name]
        return {name: self._round(name, v) for name, v in zip(names, outputs, strict=True)}

    def _round(self, name: str, value: Any) -> Any:
        if self._rounded and isinstance(value, np.ndarray) and value.dtype == np.float64:
            value = _narrow(value, self._types.get(name))
        return _wide(value)

    def _run_narrow_or_not(self, step: _Step, known: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._run_narrow(step, known)
        except (BundleError, KeyError):
            return {}  # it reads a sequence, say: there is nothing to compare with

    def _run_narrow(self, step: _Step, known: Mapping[str, Any]) -> dict[str, Any]:
        key = step.node.output[0]
        if not all(isinstance(known[name], np.ndarray) for name in step.reads):
            raise RunFailed(f"{step.node.op_type} '{key}' reads what is no tensor.")
        feeds = {name: _narrow(known[name], self._types.get(name)) for name in step.reads}
        if key not in self._opened:
            graph = alone(step.node, step.reads)
            for value in graph.input:
                kind = Datatype.from_numpy(feeds[value.name].dtype)
                value.type.tensor_type.elem_type = kind.onnx
            model = onnx.helper.make_model(
                graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version
            )
            self._opened[key] = open_model(model, optimize=False)
        outputs = self._opened[key].run(feeds)
        return {name: _wide(value) for name, value in outputs.items()}


def _wide(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype in _FLOAT_DTYPES:
        return value.astype(np.float64)
    return value


def _narrow(value: np.ndarray, element: int | None) -> np.ndarray:
    """In the type that the file declares; float32 where that is not known."""
    if value.dtype != np.float64:
        return value
    kind = Datatype.from_onnx(element) if element in _FLOATS else Datatype.FP32
    return value.astype(kind.numpy)


def _apart(wide: Any, narrow: Any) -> float:
    """How far two results are apart, as part of the largest value."""
    if not isinstance(wide, np.ndarray) or wide.dtype != np.float64:
        return 0.0
    if wide.shape != narrow.shape:
        return np.inf
    finite = np.isfinite(wide) & np.isfinite(narrow)
    scale = np.max(np.abs(wide), initial=0.0, where=finite)
    error = np.max(np.abs(wide - narrow), initial=0.0, where=finite)
    return float(error / scale) if scale else float(error)
