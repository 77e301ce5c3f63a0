"""The last touches to the graph, and its check by ONNX itself. Not for: what it computes."""

import onnx
import onnx_ir as ir
from onnx import shape_inference

from bundle import lower_normalizations
from exporters.convert import Converted
from exporters.errors import ConversionFailed, first_line

__all__ = ["finish"]

_PRODUCER = "normserve"


def finish(converted: Converted, *, name: str, lower_group_norm: bool) -> onnx.ModelProto:
    """The graph as a checked model.

    Args:
        converted: the optimized graph.
        name: of the model, for the graph.
        lower_group_norm: write GroupNormalization as primitives, for runtimes that open the file
            without NormServe.

    Raises:
        ConversionFailed: the ONNX checker refuses the model.
    """
    model = converted.model
    model.graph.name = name
    model.producer_name, model.producer_version = _PRODUCER, None
    model.doc_string = model.graph.doc_string = None
    model.metadata_props.clear()
    proto = ir.to_proto(model)
    if lower_group_norm:
        lower_normalizations(proto)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as err:
        raise ConversionFailed(f"the ONNX checker refuses the file: {first_line(err)}") from err
    return proto
