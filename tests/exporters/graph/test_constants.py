"""What depends on no input is computed at export, with the bits that the model computes."""

import math
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from bundle import open_model
from exporters.graph import optimize
from tests.exporters.harness import export, randomized

C = 128


def weight_norm_by_hand(conv):
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.direction = nn.Parameter(conv.weight.detach().clone())
            self.length = nn.Parameter(torch.rand(C, 1, 1, 1) + 0.5)

        def forward(self, x):
            norm = torch.linalg.vector_norm(self.direction, dim=(1, 2, 3), keepdim=True)
            return functional.conv2d(x, self.length * self.direction / norm)

    return ByHand()


class Adapted(nn.Module):
    """A low-rank update (LoRA, https://arxiv.org/abs/2106.09685) that was never merged."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(600, C))
        self.down, self.up = nn.Parameter(torch.randn(4, C)), nn.Parameter(torch.randn(600, 4))

    def forward(self, x):
        return functional.linear(x, self.weight + self.up @ self.down)


WEIGHTS = {
    "weight_norm": (
        {"Conv": 1},
        (C, 6, 6),
        lambda: parametrizations.weight_norm(nn.Conv2d(C, C, 3)),
    ),
    "weight_norm_by_hand": (
        {"Conv": 1},
        (C, 6, 6),
        lambda: weight_norm_by_hand(nn.Conv2d(C, C, 3)),
    ),
    "spectral_norm": (
        {"Gemm": 1},
        (C,),
        lambda: parametrizations.spectral_norm(nn.Linear(C, 600)),
    ),
    "spectral_norm_by_hook": (
        {"Conv": 1},
        (C, 6, 6),
        lambda: nn.utils.spectral_norm(nn.Conv2d(C, C, 3)),
    ),
    "low_rank_update": ({"Gemm": 1}, (C,), Adapted),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_a_weight_that_is_computed_from_others_is_merged_whatever_its_size(case):
    ops, shape, build = WEIGHTS[case]
    exported = export(build(), torch.randn(2, *shape))
    assert exported.ops == Counter(ops)
    exported.assert_agrees(*[(torch.randn(batch, *shape),) for batch in (1, 2, 3)])


def test_the_weights_of_a_weight_normed_lstm_are_plain():
    lstm = nn.LSTM(16, 64, batch_first=True)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        lstm = parametrizations.weight_norm(lstm, name)

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = lstm

        def forward(self, x):
            return self.lstm(x)[0]

    exported = export(Sequence(), torch.randn(2, 5, 16))
    assert exported.ops["LSTM"] == 1
    assert not {"ReduceL2", "Div", "MatMul", "Sqrt"} & exported.ops.keys()
    exported.assert_agrees(*[(torch.randn(batch, 5, 16),) for batch in (1, 2, 3)])


class SwitchableNorm(nn.Module):
    """Luo et al., 2018 (https://arxiv.org/abs/1806.10779), in eval mode."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(C)), nn.Parameter(torch.zeros(C))
        self.mean_weight = nn.Parameter(torch.tensor([0.5, 1.0, -0.5]))
        self.var_weight = nn.Parameter(torch.tensor([1.0, 0.2, 0.3]))
        self.register_buffer("running_mean", torch.randn(C))
        self.register_buffer("running_var", torch.rand(C) + 0.5)

    def forward(self, x):
        mean_in = x.mean((2, 3), keepdim=True)
        var_in = x.var((2, 3), keepdim=True)
        mean_ln = mean_in.mean(1, keepdim=True)
        var_ln = var_in.mean(1, keepdim=True) + (mean_in - mean_ln).square().mean(1, keepdim=True)
        shape = (1, -1, 1, 1)
        first, second = self.mean_weight.softmax(0), self.var_weight.softmax(0)
        statistics = self.running_mean.view(shape), self.running_var.view(shape)
        mean = first[0] * mean_in + first[1] * mean_ln + first[2] * statistics[0]
        variance = second[0] * var_in + second[1] * var_ln + second[2] * statistics[1]
        x = (x - mean) / (variance + 1e-5).sqrt()
        return x * self.weight.view(shape) + self.bias.view(shape)


def test_a_switchable_norm_keeps_no_softmax_and_averages_over_no_batch():
    exported = export(randomized(SwitchableNorm()), torch.randn(2, C, 6, 5))
    assert exported.ops["Softmax"] == 0
    for node in exported.nodes("ReduceMean"):
        axes = node.inputs[1].const_value.numpy().tolist()
        assert 0 not in [axis % 4 for axis in axes]
    exported.assert_agrees(*[(torch.randn(batch, C, 6, 5),) for batch in (1, 2, 3)])


def test_the_frequencies_of_a_timestep_embedding_have_the_bits_of_eager_mode():
    class Timestep(nn.Module):
        def forward(self, t):
            exponent = -math.log(10000) * torch.arange(0, 160, dtype=torch.float32) / 160
            angle = t[:, None].float() * torch.exp(exponent)[None]
            return torch.cat([angle.cos(), angle.sin()], dim=-1)

    exported = export(Timestep(), torch.tensor([1.0, 500.0]))
    expected = torch.exp(-math.log(10000) * torch.arange(0, 160, dtype=torch.float32) / 160)
    folded = [
        value.const_value.numpy().reshape(-1)
        for value in exported.model.graph.initializers.values()
        if value.const_value.size == 160
    ]
    assert len(folded) == 1
    np.testing.assert_array_equal(folded[0], expected.numpy())


@pytest.mark.parametrize("epsilon", [1e-8, 1e-12, 1e-30])
def test_no_epsilon_is_too_small_to_stay(epsilon):
    class CosineNorm(nn.Module):
        def forward(self, x):
            return x / (x.square().sum(-1, keepdim=True).sqrt() + epsilon)

    exported = export(CosineNorm(), torch.randn(2, 8))
    assert exported.ops["Add"] == 1
    zeros = torch.zeros(2, 8)
    exported.assert_agrees((zeros,), (torch.randn(3, 8),))


def test_a_factor_close_to_one_stays():
    class Scaled(nn.Module):
        def forward(self, x):
            return x * (1 + 1e-6) + 1e-9

    exported = export(Scaled(), torch.randn(2, 8))
    assert exported.ops == Counter({"Mul": 1, "Add": 1})


def test_what_changes_nothing_exactly_is_gone():
    class Neutral(nn.Module):
        def forward(self, x):
            return functional.dropout((x * 1.0 + 0.0) / 1.0, 0.5, self.training).relu() - 0.0

    exported = export(Neutral(), torch.randn(2, 8))
    assert exported.ops == Counter({"Relu": 1})


@pytest.mark.parametrize("shift", [0, 1])
def test_chunks_of_a_dynamic_batch_are_slices(shift):
    class Siamese(nn.Module):
        def forward(self, pairs):
            first, second = pairs.chunk(2, dim=0)
            return (first + shift) * second

    shapes = ({0: 2 * torch.export.Dim("pairs", min=1, max=64)},)
    exported = export(Siamese(), torch.randn(4, 8), shapes=shapes)
    assert exported.ops["SplitToSequence"] == 0
    assert exported.ops["SequenceAt"] == 0
    exported.assert_agrees(*[(torch.randn(batch, 8),) for batch in (2, 4, 10)])


def from_text(text):
    return ir.from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))


def test_a_sequence_that_is_used_whole_is_left_alone():
    model = from_text("""
        <ir_version: 9, opset_import: ["" : 18]>
        halves (float[n, 4] x) => (float[n, 4] y) {
          size = Shape <start = 0, end = 1> (x)
          two = Constant <value = int64[1] {2}> ()
          half = Div (size, two)
          none = Constant <value = int64[0] {}> ()
          scalar = Reshape (half, none)
          parts = SplitToSequence <axis = 0> (x, scalar)
          y = ConcatFromSequence <axis = 0> (parts)
        }
    """)
    optimize(model)
    x = np.arange(24, dtype=np.float32).reshape(6, 4)
    np.testing.assert_array_equal(open_model(ir.to_proto(model)).run({"x": x})["y"], x)


def test_a_weight_that_its_caller_may_override_is_not_folded():
    model = from_text("""
        <ir_version: 9, opset_import: ["" : 18]>
        overridable (float[n, 2] x, float[2] scale = {1, 1}) => (float[n, 2] y) {
          root = Sqrt (scale)
          y = Mul (x, root)
        }
    """)
    optimize(model)
    assert [node.op_type for node in model.graph] == ["Sqrt", "Mul"]


def test_large_fill_is_not_written_out():
    model = from_text("""
        <ir_version: 9, opset_import: ["" : 18]>
        filled (float[n, 1] x) => (float[m, 1000] y) {
          size = Constant <value = int64[2] {1000, 1000}> ()
          fill = ConstantOfShape (size)
          y = MatMul (fill, x)
        }
    """)
    optimize(model)
    assert [node.op_type for node in model.graph] == ["ConstantOfShape", "MatMul"]


def test_a_large_weight_with_two_readers_is_not_copied_to_be_transposed():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9000, C)

        def forward(self, tokens):
            return self.embedding(tokens) @ self.embedding.weight.T

    exported = export(Tied(), torch.zeros(2, 5, dtype=torch.int64))
    weights = [value.const_value.size for value in exported.model.graph.initializers.values()]
    assert sum(size == 9000 * C for size in weights) == 1
