"""Normalization over many elements from the moments of short rows, which one kernel gives.

BatchNormalization in training mode returns the mean and the variance of each channel beside its
result. It is the standard's operator, and ONNX Runtime's CPU kernel of it takes no longer than that
of InstanceNormalization. With short rows as channels, and with momentum 0, it normalizes each row
and gives the row's moments. Those of a group are put together from them (Chan, Golub & LeVeque
1983, https://doi.org/10.1080/00031305.1983.10483115), and BatchNormalization in inference mode, one
kernel again, brings each row from its own mean and deviation to those of its group.
(``docs/decisions/0024-precisions-and-fast-sums.md``)

Not for: files that other runtimes open. CUDA's kernel, for one, has no training mode.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx

from bundle.normalization import FLOAT, Nodes, Normalization
from bundle.runtime import binding, onnxruntime

__all__ = ["from_moments", "gives_moments"]

_ROW = 512
"""Elements of a row at most: one running sum over it is off by an ulp or two."""
_SHORT = 32
"""Rows of fewer are as many numbers more to handle."""
_NO_EPSILON = 1e-30
"""A constant row is divided by its square root, and multiplied by 0 then."""
_EXACT = 1e-4


@dataclass(frozen=True, slots=True)
class _Rows:
    """Values of a graph by name.

    Attributes:
        normalized: (1, rows, elements), each row with mean 0 and variance 1.
        mean: (rows,), before.
        variance: (rows,), before.
        zero: (rows,)
        one: (rows,)
    """

    normalized: str
    mean: str
    variance: str
    zero: str
    one: str


def from_moments(norm: Normalization, nodes: Nodes) -> bool:
    """Add the nodes, if the runtime has the kernel and the elements can be cut into rows.

    Args:
        norm: over many elements; its channels are known.
        nodes: to which they are added.

    Returns:
        Whether they were.
    """
    row = None if norm.positions is None else _row(norm.positions)
    if (row is not None and row < _SHORT) or not gives_moments():
        return False
    x, scale, shift = (nodes.as_float(name) for name in norm.node.input)
    flat, each = nodes.constant(-1), nodes.constant(-2, -1)
    rows = _by_rows(nodes, nodes.add("Reshape", x, _row_shape(nodes, x, row)))

    groups = _group_shape(norm, nodes, x, row)
    mean, variance = (nodes.add("Reshape", v, groups) for v in (rows.mean, rows.variance))
    apart = nodes.add("Sub", mean, nodes.add("ReduceMean", mean, each))
    squares = nodes.add("Add", variance, nodes.add("Mul", apart, apart))
    epsilon = nodes.array(np.array(norm.epsilon, np.float32))
    stable = nodes.add("Add", nodes.add("ReduceMean", squares, each), epsilon)

    in_group = (norm.channels or 0) // (norm.groups or 1) if norm.scales_channels else 1
    column = nodes.constant(-1, in_group, 1)
    factor = nodes.add("Div", nodes.add("Reshape", scale, column), nodes.add("Sqrt", stable))
    offset = nodes.add("Add", nodes.add("Mul", apart, factor), nodes.add("Reshape", shift, column))
    factor = nodes.add("Reshape", nodes.add("Mul", nodes.add("Sqrt", variance), factor), flat)
    offset = nodes.add("Reshape", offset, flat)
    given = (rows.normalized, factor, offset, rows.zero, rows.one)
    scaled = nodes.add("BatchNormalization", *given, epsilon=0.0)
    nodes.add("Reshape", scaled, _whole_shape(norm, nodes, x), allowzero=1)  # 0 is no copy
    nodes.end()
    return True


def _row_shape(nodes: Nodes, x: str, row: int | None) -> str:
    """(1, rows, elements of a row): as many as the last axis has where no length is known."""
    if row is not None:
        return nodes.constant(1, -1, row)
    last = nodes.add("Shape", x, start=-1)
    return nodes.add("Concat", nodes.constant(1, -1), last, axis=0)


def _group_shape(norm: Normalization, nodes: Nodes, x: str, row: int | None) -> str:
    """(N, groups, channels of a group, rows of a channel), as the rows lie in memory."""
    groups, channels = norm.groups or norm.channels or 0, norm.channels or 0
    if row is not None and norm.positions is not None:
        return nodes.constant(-1, groups, channels // groups, norm.positions // row)
    batch = nodes.add("Shape", x, start=0, end=1)
    return nodes.add("Concat", batch, nodes.constant(groups, channels // groups, -1), axis=0)


def _by_rows(nodes: Nodes, rows: str) -> _Rows:
    """Normalize each row of (1, rows, elements)."""
    # ONNX Runtime writes both results over the running statistics it is given, be they constants
    # that others read, or shared by two runs: so they are computed, each by a node of its own.
    first = nodes.add("Gather", rows, nodes.array(np.array(0, np.int64)), axis=2)
    mean = nodes.add("Reshape", first, nodes.constant(-1))
    variance = nodes.add("Neg", mean)
    count = nodes.add("Shape", mean)
    zero, one = (nodes.add("ConstantOfShape", count, value=_number(value)) for value in (0, 1))
    given = (rows, one, zero, mean, variance)
    normalized, mean, variance = nodes.add_several(
        "BatchNormalization", 3, *given, training_mode=1, momentum=0.0, epsilon=_NO_EPSILON
    )
    return _Rows(normalized, mean, variance, zero, one)


def _whole_shape(norm: Normalization, nodes: Nodes, x: str) -> str:
    """That of x."""
    known = (norm.given.shape or (None,))[1:]
    sizes = [size for size in known if size is not None]
    if len(sizes) < len(known):
        return nodes.add("Shape", x)
    return nodes.constant(-1, *sizes)


def _row(positions: int) -> int:
    """The largest divisor that is no longer than a row may be."""
    return next(size for size in range(min(_ROW, positions), 0, -1) if positions % size == 0)


def _number(value: float) -> onnx.TensorProto:
    return onnx.helper.make_tensor("value", FLOAT, [1], [value])


@cache
def gives_moments() -> bool:
    """Whether this ONNX Runtime's CPU kernel of BatchNormalization gives rows' moments, by trying.

    The list of its kernels does not tell: some builds have the kernel without its training mode.
    """
    names = ("x", "one", "zero", "mean", "variance")
    node = onnx.helper.make_node(
        "BatchNormalization", names, ["y", "m", "v"], training_mode=1, momentum=0.0
    )
    inputs = [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in names]
    outputs = [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in ("m", "v")]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "moments", inputs, outputs),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 2, 4) ** 2
    vector = np.ones(2, np.float32)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feeds = {"x": x, **{name: vector.copy() for name in names[1:]}}
        mean, variance = session.run(None, feeds)
    except (binding.Fail, binding.InvalidArgument, binding.NotImplemented) as err:
        del err  # no such kernel
        return False
    return bool(
        np.allclose(mean, x.mean(2)[0], rtol=_EXACT)
        and np.allclose(variance, x.var(2)[0], rtol=_EXACT)
    )
