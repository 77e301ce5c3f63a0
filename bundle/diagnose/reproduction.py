"""The smallest part of a model that shows a divergence, with its inputs. Not for: the cause.

On disk: ``model.onnx`` and ``test_data_set_0`` in ONNX's own layout, whose outputs are the expected
ones, so that any tool that replays ONNX test data shows the difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from bundle.comparison import Tolerance, compare
from bundle.diagnose.diagnosis import Reproduction
from bundle.diagnose.graph import Graph, Region
from bundle.errors import BundleError
from bundle.golden import Sample, encode_samples
from bundle.precision.nodes import captured
from bundle.store import MODEL
from bundle.tensors import Datatype, TensorSpec

__all__ = ["Part", "Run", "extract", "reproduce"]

Run = Callable[[onnx.ModelProto, Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Runs a model as it was examined."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model that was run: what it is, and what it should give.

    Attributes:
        model: the part.
        sample: its inputs, and the expected output.
        found: what running it showed.
    """

    model: onnx.ModelProto
    sample: Sample
    found: Reproduction

    def write(self, folder: Path) -> None:
        """Write the model and the sample.

        Side effects: makes the folder; replaces files of the same names.
        """
        inputs, outputs = (
            tuple(
                TensorSpec(name=name, datatype=Datatype.from_numpy(a.dtype), shape=a.shape)
                for name, a in arrays.items()
            )
            for arrays in (self.sample.inputs, self.sample.outputs)
        )
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save_model(self.model, folder / MODEL)
        for name, content in encode_samples([self.sample], inputs, outputs).items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def reproduce(
    graph: Graph,
    regions: tuple[Region, Region],
    *,
    values: Mapping[str, np.ndarray],
    expected: tuple[np.ndarray, np.ndarray],
    tolerance: Tolerance,
    run: Run,
) -> Part | None:
    """Cut out the nodes of a divergence and see whether they show it.

    Args:
        graph: of the file under examination.
        regions: the nodes behind the last agreement; and those from the model's inputs on, which
            are tried if the former do not show it.
        values: of the inputs of both.
        expected: the output that is right for them, in float64 and in the type of the file.
        tolerance: beyond which it is a divergence.
        run: as it was examined.

    Returns:
        The first that shows it, else the larger one; None where neither runs.
    """
    part = None
    for region in regions:
        exact, declared = ({region.output: each} for each in expected)
        model = extract(graph, region, {**values, **declared})
        inputs = {name: values[name] for name in region.inputs}
        try:
            got = run(model, inputs)
            (compared,) = compare(exact, got, {region.output: tolerance})
        except BundleError:
            continue
        found = Reproduction(
            nodes=len(region.nodes),
            inputs=tuple(inputs),
            is_whole=region is regions[1],
            reproduces=not compared.passed,
            error=compared.max_abs_error,
        )
        part = Part(model, Sample(inputs=inputs, outputs=declared), found)
        if found.reproduces:
            return part
    return part


def extract(graph: Graph, region: Region, values: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A region as a model of its own.

    Args:
        graph: that it is of.
        region: the nodes.
        values: of its inputs and its output, whose types and sizes are declared.

    `onnx.utils.Extractor` does this for nodes without subgraphs; what a subgraph captures it leaves
    behind.
    """
    read = {name for node in region.nodes for name in (*node.input, *captured(node))}
    model = graph.model
    inputs, outputs = (
        [
            onnx.helper.make_tensor_value_info(
                name, Datatype.from_numpy(values[name].dtype).onnx, values[name].shape
            )
            for name in names
        ]
        for names in (region.inputs, [region.output])
    )
    small = onnx.helper.make_graph(
        region.nodes,
        "reproduction",
        inputs,
        outputs,
        [tensor for tensor in model.graph.initializer if tensor.name in read],
        value_info=[
            value
            for value in model.graph.value_info
            if value.name in read and value.name not in region.inputs
        ],
    )
    return onnx.helper.make_model(
        small,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
        producer_name="normserve",
    )
