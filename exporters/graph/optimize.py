"""The order of the passes. Each pass says what it does; this module says why in this order."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import optimizer
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules

from exporters.graph.constants import fold_constants
from exporters.graph.duplicates import merge_constants, merge_duplicates
from exporters.graph.folding import collapse_affines, fold_affines
from exporters.graph.journal import Rewrite
from exporters.graph.norms import fuse_norms
from exporters.graph.sequences import hidden_dynamic_chunks, slice_dynamic_chunks
from exporters.graph.tidy import tidy
from exporters.graph.values import FLOATS

_LAYOUT_RULES = (
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.reshape_reshape_rule,
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.squeeze_reshape_1d_rule,
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.materialize_reshape_shape_rule,
)
"""onnxscript's rules that are exact: they move and name numbers and compare none."""

_SHAPE_ARITHMETIC_LIMIT = 1024
"""Elements that onnxscript's folder may fold; it is asked for shapes, `constants` does the rest."""


def optimize(model: ir.Model) -> tuple[Rewrite, ...]:
    """Bring an exported model into the form that it is served in.

    Args:
        model: What `torch.onnx.export(…, optimize=False)` returns, opset 18 to 23; changed in
            place. Inputs, outputs, their names, and the metadata of every node that stays are kept.

    Returns:
        Which normalizations and affine maps were taken out and which nodes do their work now, in
        the order of the rewrites; what is merely constant or unused goes unrecorded.
    """
    opset = model.opset_imports.get("", 0)
    if model.functions:
        common.InlinePass()(model)
    for graph in model.graphs():
        slice_dynamic_chunks(graph)
    with hidden_dynamic_chunks(model):
        _simplify(model)
    rewrites = merge_duplicates(model.graph)
    for graph in model.graphs():
        rewrites += fuse_norms(graph, opset=opset)
        rewrites += fold_affines(graph)
        rewrites += collapse_affines(graph)
    # Folding brings Transposes together that a norm stood between.
    _sweep(model)
    common.NameFixPass()(model)
    return tuple(rewrites)


def _simplify(model: ir.Model) -> None:
    """Fold constants and shapes until nothing changes, so that the rules see weights as weights."""
    while True:
        optimizer.fold_constants(
            model,
            onnx_shape_inference=True,
            input_size_limit=_SHAPE_ARITHMETIC_LIMIT,
            output_size_limit=_SHAPE_ARITHMETIC_LIMIT,
            should_fold=_is_shape_arithmetic,
        )
        changed = fold_constants(model)
        for graph in model.graphs():
            changed |= tidy(graph)
        if not changed:
            break
    _sweep(model)
    for graph in model.graphs():
        merge_constants(graph)


def _is_shape_arithmetic(node: ir.Node) -> bool | None:
    """False for floats, which `constants` folds; None, the folder's own choice, for the rest."""
    output = node.outputs[0].dtype
    return False if output is None or output in FLOATS else None


def _sweep(model: ir.Model) -> None:
    """Remove what only moves numbers there and back, and what nothing reads."""
    RewritePass(_LAYOUT_RULES)(model)
    for graph in model.graphs():
        tidy(graph)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
