"""An int8 variant, by ONNX Runtime's own static quantization. Not for: dynamic quantization.

Weights and activations of convolutions and matrix products become 8-bit integers with fixed scales
(Jacob et al. 2018, https://arxiv.org/abs/1712.05877), as QuantizeLinear and DequantizeLinear around
them. Everything else, the normalizations above all, stays float32: what a norm gives depends on
differences that are much smaller than its input.

Dynamic quantization is refused: DynamicQuantizeLinear takes one scale from the extremes of a whole
batch, so that a row's answer depends on its neighbours (``docs/checks/batch-invariance.md``).
"""

import importlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

from bundle.errors import InputInvalid, ModelInvalid
from bundle.lowering import lower_normalizations
from bundle.runtime import binding, onnxruntime

__all__ = ["METHOD", "quantized"]

METHOD = (
    "static quantization of ONNX Runtime (QDQ): ranges by minimum and maximum, weights by channel"
)

_WARNING, _FATAL = 2, 4
"""ONNX Runtime's own default, and silence."""
_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantized(
    model: onnx.ModelProto, calibration: Sequence[Mapping[str, np.ndarray]]
) -> onnx.ModelProto:
    """A copy of the model whose convolutions and matrix products by weights compute in int8.

    Args:
        model: in float32, with its weights inside.
        calibration: inputs; the range of each quantized value is that over all of them.

    Raises:
        InputInvalid: there is no calibration input.
        ModelInvalid: there is nothing to quantize, or ONNX Runtime's quantizer refuses the model.
    """
    if not calibration:
        raise InputInvalid(
            "static quantization needs calibration inputs: the scales are taken from what they"
            " give. Dynamic quantization needs none and is refused, because it lets a row's answer"
            " depend on its neighbours."
        )
    if not any(node.op_type in _OPERATORS for node in model.graph.node):
        raise ModelInvalid(f"the model has no {', '.join(_OPERATORS)} to quantize.")
    # loaded when it is needed: a server quantizes nothing
    tools = importlib.import_module(f"{onnxruntime.__name__}.quantization")
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    lower_normalizations(whole)  # or ONNX Runtime calibrates on an inaccurate GroupNormalization
    feeds = iter([dict(feed) for feed in calibration])
    with tempfile.TemporaryDirectory(prefix="normserve-") as name, _quiet():
        prepared, result = Path(name) / "prepared.onnx", Path(name) / "quantized.onnx"
        try:
            tools.quant_pre_process(
                whole, prepared, skip_optimization=True, skip_symbolic_shape=True
            )
            tools.quantize_static(
                prepared,
                result,
                _reader(tools, feeds),
                op_types_to_quantize=list(_OPERATORS),
                per_channel=True,
                # processors without VNNI add pairs of products in 16 bits, which 8-bit weights
                # overflow; the file is to give the same on all of them
                reduce_range=True,
                weight_type=tools.QuantType.QInt8,
                activation_type=tools.QuantType.QUInt8,
                # attention multiplies activations: their scores stay float32
                extra_options={"MatMulConstBOnly": True},
            )
        except (ValueError, RuntimeError, binding.Fail, binding.InvalidGraph) as err:
            raise ModelInvalid(f"ONNX Runtime's quantizer refuses the model: {err}") from err
        return onnx.load_model(result)


def _reader(tools: object, feeds: Iterator[dict[str, np.ndarray]]) -> object:
    """What the quantizer asks for one input after the other."""
    base: type = tools.CalibrationDataReader  # type: ignore[attr-defined]  # a module without types

    class Reader(base):  # type: ignore[misc]  # its type is known when it is loaded only
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Its advice goes to the root logger, what its sessions say to standard error: neither here."""
    root = logging.getLogger()
    before = root.disabled
    root.disabled = True
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        root.disabled = before
        onnxruntime.set_default_logger_severity(_WARNING)
