"""Export a module, look at the graph, and compare its numbers with PyTorch in float64."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass

import onnx
import onnx_ir as ir
import torch
from torch import nn

from bundle import compare, derive_tolerance, open_model
from exporters.convert import convert
from exporters.graph import Rewrite

torch.set_num_threads(1)


@dataclass(frozen=True)
class Exported:
    """A module and the graph that it became."""

    module: nn.Module
    model: ir.Model
    rewrites: tuple[Rewrite, ...]

    @property
    def ops(self):
        """How many nodes of each operator there are, those that only move numbers included."""
        return Counter(node.op_type for node in self.model.graph.all_nodes())

    def nodes(self, op_type):
        return [node for node in self.model.graph.all_nodes() if node.op_type == op_type]

    def assert_agrees(self, *calls):
        """At ORT's lowest and highest optimization, every call must agree with float64."""
        proto = ir.to_proto(self.model)
        onnx.checker.check_model(proto, full_check=True)
        for optimize in (False, True):
            opened = open_model(proto, optimize=optimize)
            for tensors in calls:
                expected, tolerances = reference(self.module, tensors, opened.outputs)
                feeds = {
                    spec.name: tensor.numpy()
                    for spec, tensor in zip(opened.inputs, tensors, strict=True)
                }
                compared = compare(expected, opened.run(feeds), tolerances)
                assert all(each.passed for each in compared), [each.reason for each in compared]


def export(module, *example, shapes=None, opset=23):
    """Export a module in eval mode; axis 0 of every input is a dynamic batch unless shapes say."""
    converted = convert(module, example, dynamic_shapes=shapes, opset=opset)
    return Exported(module.eval(), converted.model, converted.rewrites)


def reference(module, tensors, outputs):
    """Float64 outputs by name, and how far float32 may be off."""
    with torch.no_grad():
        exact = deepcopy(module).double()(*(_double(tensor) for tensor in tensors))
        single = module(*tensors)
    exact, single = (
        (each,) if isinstance(each, torch.Tensor) else each for each in (exact, single)
    )
    names = [spec.name for spec in outputs]
    expected = {name: each.numpy() for name, each in zip(names, exact, strict=True)}
    tolerances = {
        name: derive_tolerance(expected[name], each.numpy())
        for name, each in zip(names, single, strict=True)
    }
    return expected, tolerances


def _double(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


def randomized(module, seed=0):
    """Give every norm parameters and statistics as after a training, some variances tiny."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        with torch.no_grad():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.05)
                tensor.view(-1)[::7] = 1e-4
            elif name.endswith("running_mean"):
                tensor.copy_(noise)
            elif tensor.ndim <= 1:
                tensor.copy_(1 + 0.5 * noise if name.endswith("weight") else noise)
    return module
