"""Calls in a traced program that the converter gets wrong, as equal calls that it gets right.

Not for: judging whether such calls may be there (`exporters.scan` did that before).

The converter takes every batch norm that has running statistics for one in eval mode, and writes an
instance norm in eval mode with its statistics repeated for each sample. It hands attention masks
over as they are, and ONNX Runtime's Attention does not broadcast them over queries and keys. And it
knows attention over (batch, heads, length, features) only: attention within windows has axes before
these, attention of one head may have none for heads.
"""

from collections.abc import Callable
from typing import Any

from torch import fx, ops
from torch._ops import OpOverload
from torch.export import ExportedProgram

from exporters.program import argument

__all__ = ["is_one_row", "put_equivalents"]

_ATEN = ops.aten


def put_equivalents(program: ExportedProgram) -> None:
    """Rewrite a program in place, without a change of what it computes."""
    for node in list(program.graph.nodes):
        if node.target is _ATEN.instance_norm.default:
            _mend_instance_norm(node)
        elif node.target is _ATEN.batch_norm.default and argument(node, "training"):
            _batch_norm_over_batch(node)
        elif node.target is _ATEN.scaled_dot_product_attention.default:
            _mend_attention(node)
    program.graph.lint()
    program.graph_module.recompile()


def is_one_row(x: fx.Node) -> bool:
    """Whether a tensor has one row whatever the batch: the channels then hold the samples.

    A common way to write InstanceNorm is a batch norm over (1, batch * channels, …), whose
    statistics stay within each sample.
    """
    rows = x.meta["val"].shape[0]
    return isinstance(rows, int) and rows == 1


def _mend_instance_norm(node: fx.Node) -> None:
    """With running statistics in eval mode it is BatchNorm, bit for bit; else it needs none."""
    x, weight, bias, mean, variance, use_input_stats, momentum, epsilon, cudnn = list(node.args)
    if use_input_stats:
        node.args = (x, weight, bias, None, None, True, momentum, epsilon, cudnn)
    else:
        node.target = _ATEN.batch_norm.default
        node.args = (x, weight, bias, mean, variance, False, momentum, epsilon, cudnn)


def _batch_norm_over_batch(node: fx.Node) -> None:
    """A batch norm that uses its batch is an instance norm of (1, channels, everything else)."""
    x = argument(node, "input")
    weight, bias = argument(node, "weight"), argument(node, "bias")
    use_input_stats, cudnn = True, False
    momentum, epsilon = argument(node, "momentum"), argument(node, "eps")
    rest = weight, bias, None, None, use_input_stats, momentum, epsilon, cudnn
    call = _caller(node)
    with node.graph.inserting_before(node):
        if is_one_row(x) and x.meta["val"].ndim > 2:
            norm = call(_ATEN.instance_norm.default, x, *rest)
        else:
            by_channel = call(_ATEN.transpose.int, x, 0, 1)
            flat = call(_ATEN.unsqueeze.default, call(_ATEN.flatten.using_ints, by_channel, 1), 0)
            normalized = call(_ATEN.instance_norm.default, flat, *rest)
            shaped = call(_ATEN.view_as.default, normalized, by_channel)
            norm = call(_ATEN.transpose.int, shaped, 0, 1)
    node.replace_all_uses_with(norm)
    node.graph.erase_node(node)


def _mend_attention(node: fx.Node) -> None:
    mask = argument(node, "attn_mask")
    mask_rank = 0 if mask is None else mask.meta["val"].ndim
    _expand_attention_mask(node)
    _attend_on_four_axes(node, mask_rank=mask_rank)


def _expand_attention_mask(node: fx.Node) -> None:
    mask = argument(node, "attn_mask")
    if mask is None:
        return
    shape = mask.meta["val"].shape
    sources = {-2: argument(node, "query"), -1: argument(node, "key")}
    spread = [axis for axis in sources if isinstance(shape[axis], int) and shape[axis] == 1]
    call = _caller(node)
    with node.graph.inserting_before(node):
        sizes: list[fx.Node | int] = [-1] * len(shape)
        for axis in spread:
            rank = sources[axis].meta["val"].ndim
            sizes[axis] = call(_ATEN.sym_size.int, sources[axis], rank - 2)
        if spread:
            expanded = call(_ATEN.expand.default, mask, sizes)
            node.replace_input_with(mask, expanded)


def _attend_on_four_axes(node: fx.Node, *, mask_rank: int) -> None:
    """Attention over more axes in front, or without one for heads, as attention over four."""
    names = "query", "key", "value"
    before = {name: argument(node, name) for name in names}
    shape = before["query"].meta["val"].shape
    leading = shape[:-3]
    rank = len(shape)
    if rank == 4 or rank < 3 or any(len(x.meta["val"].shape) != rank for x in before.values()):
        return
    if any(x.meta["val"].shape[:-3] != leading for x in before.values()):
        return  # the converter says what it cannot do
    call = _caller(node)

    def to_four(x: fx.Node) -> fx.Node:
        if rank == 3:
            return call(_ATEN.unsqueeze.default, x, 1)
        return call(_ATEN.flatten.using_ints, x, 0, rank - 4)

    with node.graph.inserting_before(node):
        sizes = [call(_ATEN.sym_size.int, before["query"], axis) for axis in range(len(leading))]
        replacements = {x: to_four(x) for x in before.values()}
        if mask_rank > 2:
            mask = wide = argument(node, "attn_mask")
            for _ in range(rank - mask_rank):
                wide = call(_ATEN.unsqueeze.default, wide, 0)
            if sizes:
                wide = call(_ATEN.expand.default, wide, [*sizes, -1, -1, -1])
            replacements[mask] = to_four(wide)
    readers = list(node.users)
    for source, four in replacements.items():
        node.replace_input_with(source, four)
    with node.graph.inserting_after(node):
        if rank == 3:
            shaped = call(_ATEN.squeeze.dim, node, 1)
        else:
            shaped = call(_ATEN.unflatten.int, node, 0, sizes)
    for reader in readers:
        reader.replace_input_with(node, shaped)


def _caller(node: fx.Node) -> Callable[..., fx.Node]:
    """Makes calls for the module that made a call."""

    def call(target: OpOverload[..., Any], *args: Any) -> fx.Node:
        made = node.graph.call_function(target, args)
        made.meta = {key: value for key, value in node.meta.items() if key != "val"}
        return made

    return call
