"""What really moves in every tensor of a graph when one row of its batch is exchanged."""

import numpy as np
import onnx

from bundle import BundleError, open_model
from bundle.checks.reach.independence import follow_rows


def with_every_tensor_as_output(model):
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    there = {output.name for output in whole.graph.output}
    names = [n for node in whole.graph.node for n in node.output if n and n not in there]
    whole.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return whole


def unexplained(model, feeds, other):
    """The outputs that move where their bits do not allow it: (row, output), and what is unknown.

    Args:
        model: all of whose outputs are looked at.
        feeds: a batch.
        other: another, from which a row is taken at a time.
    """
    rows = len(next(iter(feeds.values())))
    few = {name: array[:3] for name, array in feeds.items()}
    reaches, unknown = follow_rows(model, large=feeds, small=few)
    opened = open_model(model, optimize=False)
    before = opened.run(feeds)
    found = []
    for row in range(rows):
        exchanged = {name: array.copy() for name, array in feeds.items()}
        for name, array in exchanged.items():
            array[row] = other[name][row]
        try:
            after = opened.run(exchanged)
        except BundleError:
            continue  # the rows do not go together
        for name, reach in reaches.items():
            if reach.shape is None:
                continue
            allowed = np.broadcast_to(reach.bits & np.uint32(1 << row) != 0, reach.shape)
            moved = np.ones(reach.shape, bool)
            if before[name].shape == after[name].shape:
                moved = before[name] != after[name]
                if moved.dtype == object or before[name].dtype.kind in "fc":
                    moved &= ~((before[name] != before[name]) & (after[name] != after[name]))  # NaN
            if (moved & ~allowed).any():
                found.append((row, name))
    return found, unknown
