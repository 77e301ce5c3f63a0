"""A model in another precision. Not for: whether it is still right (`bundle.precision.parity`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from bundle.errors import ModelInvalid
from bundle.precision.float64 import Float64Model
from bundle.precision.kept import Kept, kept_in_float32
from bundle.precision.kinds import Precision
from bundle.precision.narrowing import narrowed
from bundle.precision.quantize import quantized

__all__ = ["Variant", "kept_nodes", "make_variant", "variant"]

Calibration = Sequence[Mapping[str, np.ndarray]]
"""Inputs like those that the model will get, golden samples for instance."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A model in another precision.

    Attributes:
        model: a standard ONNX file.
        kept: the nodes that stay in float32 on purpose, and why; none for int8.
    """

    model: onnx.ModelProto
    kept: tuple[Kept, ...] = ()


def variant(
    model: onnx.ModelProto, precision: Precision, calibration: Calibration
) -> onnx.ModelProto:
    """A copy of a float32 model in another precision, with float32 inputs and outputs.

    Args:
        model: with its weights inside; stays as it is.
        precision: of the copy.
        calibration: real inputs. fp16 and bf16 keep in float32 what exceeds their range there;
            int8 takes its scales from them.

    Returns:
        A standard ONNX file: 16-bit tensors with casts around what stays float32, or static
        quantization in the QDQ form.

    Raises:
        InputInvalid: the calibration does not fit the model, or int8 has none.
        ModelInvalid: the model has nothing that can be converted.
        RunFailed: the model does not run on the calibration.
    """
    return make_variant(model, precision, calibration).model


def make_variant(model: onnx.ModelProto, precision: Precision, calibration: Calibration) -> Variant:
    """The same, with the nodes that stay in float32 and the reasons.

    Raises:
        BundleError: as `variant`.
    """
    if precision is Precision.INT8:
        return Variant(quantized(model, calibration))
    kept = kept_nodes(model, precision, calibration)
    converted = narrowed(model, precision, {node.output for node in kept})
    try:
        onnx.checker.check_model(converted, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ModelInvalid(f"the {precision} variant is no valid ONNX: {err}") from err
    return Variant(converted, kept)


def kept_nodes(
    model: onnx.ModelProto, precision: Precision, calibration: Calibration
) -> tuple[Kept, ...]:
    """The nodes that a 16-bit variant leaves in float32 on purpose, and why; none for int8.

    Raises:
        InputInvalid: the calibration does not fit the model.
        RunFailed: the model does not run on it.
    """
    if precision is Precision.INT8:
        return ()
    return kept_in_float32(model, precision, _largest(model, calibration))


def _largest(model: onnx.ModelProto, calibration: Calibration) -> dict[str, float]:
    """The largest magnitude of each value and weight in float64 over all inputs."""
    largest: dict[str, float] = {}

    def see(name: str, value: object) -> None:
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            finite = np.max(np.abs(value), initial=0.0, where=np.isfinite(value))
            largest[name] = max(largest.get(name, 0.0), float(finite))

    graph = Float64Model(model)
    for feed in calibration:
        graph.visit(feed, see)
    return largest
