"""What the exported graph must show of every norm but BatchNorm, native or written out."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.exporters.harness import export, randomized

C = 64
IMAGE, LINE, TOKENS, BLOCK = (C, 6, 7), (C, 12), (5, C), (C, 3, 4, 3)


class Module(nn.Module):
    """A weight, a bias and a function of x and both."""

    def __init__(self, function, *shape):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return self.function(x, self.weight, self.bias)


def bert(x, weight, bias):
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).pow(2).mean(-1, keepdim=True)
    return weight * ((x - mean) / torch.sqrt(variance + 1e-12)) + bias


def with_var(x, weight, bias):
    mean = x.mean(dim=-1, keepdim=True)
    variance = x.var(dim=-1, keepdim=True, unbiased=False)
    return (x - mean) * torch.rsqrt(variance + 1e-5) * weight + bias


def with_powers(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + 1e-6) ** -0.5 * weight + bias


def without_affine(x, weight, bias):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-5).sqrt()


def difference_of_moments(x, weight, bias):
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean**2
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def channels_first(x, weight, bias):
    """As in ConvNeXt and in SAM."""
    mean = x.mean(1, keepdim=True)
    variance = (x - mean).pow(2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(variance + 1e-6)
    return weight[:, None, None] * x + bias[:, None, None]


def permuted(x, weight, bias):
    x = functional.layer_norm(x.permute(0, 2, 3, 1), (C,), weight, bias)
    return x.permute(0, 3, 1, 2)


def over_everything(x, weight, bias):
    mean = x.mean((1, 2), keepdim=True)
    variance = (x - mean).square().mean((1, 2), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


LAYER_NORMS = {
    "native": (TOKENS, {"LayerNormalization": 1}, lambda: nn.LayerNorm(C)),
    "native_2d": (IMAGE, {"LayerNormalization": 1}, lambda: nn.LayerNorm((6, 7))),
    "native_3d": (IMAGE, {"LayerNormalization": 1}, lambda: nn.LayerNorm(IMAGE, eps=1e-3)),
    "no_affine": (
        TOKENS,
        {"LayerNormalization": 1},
        lambda: nn.LayerNorm(C, elementwise_affine=False),
    ),
    "no_bias": (TOKENS, {"LayerNormalization": 1}, lambda: nn.LayerNorm(C, bias=False)),
    "bert": (TOKENS, {"LayerNormalization": 1}, lambda: Module(bert, C)),
    "var": (TOKENS, {"LayerNormalization": 1}, lambda: Module(with_var, C)),
    "powers": (TOKENS, {"LayerNormalization": 1}, lambda: Module(with_powers, C)),
    "written_without_affine": (
        TOKENS,
        {"LayerNormalization": 1},
        lambda: Module(without_affine, C),
    ),
    "difference_of_moments": (
        TOKENS,
        {"LayerNormalization": 1},
        lambda: Module(difference_of_moments, C),
    ),
    "written_over_two_axes": (
        TOKENS,
        {"LayerNormalization": 1},
        lambda: Module(over_everything, C),
    ),
    "channels_first": (
        IMAGE,
        {"Transpose": 2, "LayerNormalization": 1},
        lambda: Module(channels_first, C),
    ),
    "permuted": (IMAGE, {"Transpose": 2, "LayerNormalization": 1}, lambda: Module(permuted, C)),
    "with_layer_scale_behind": (
        TOKENS,
        {"LayerNormalization": 1},
        lambda: nn.Sequential(nn.LayerNorm(C), Module(lambda x, w, b: w * x + b, C)),
    ),
}


def llama(x, weight, bias):
    x32 = x.to(torch.float32) if x.dtype == torch.float16 else x
    normalized = x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + 1e-6)
    return weight * normalized.to(x.dtype)


def gemma(x, weight, bias):
    normalized = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return normalized * (1.0 + weight)


def divided(x, weight, bias):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight


RMS_NORMS = {
    "native": lambda: nn.RMSNorm(C, eps=1e-6),
    "no_affine": lambda: nn.RMSNorm(C, elementwise_affine=False),
    "llama": lambda: Module(llama, C),
    "gemma": lambda: Module(gemma, C),
    "divided": lambda: Module(divided, C),
}


def standardized(x, weight, bias):
    mean = x.mean((2, 3), keepdim=True)
    variance = x.var((2, 3), keepdim=True, unbiased=False)
    x = (x - mean) / torch.sqrt(variance + 1e-5)
    return x * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


INSTANCE_NORMS = {
    "1d": (LINE, lambda: nn.InstanceNorm1d(C, affine=True)),
    "2d": (IMAGE, lambda: nn.InstanceNorm2d(C, affine=True)),
    "3d": (BLOCK, lambda: nn.InstanceNorm3d(C, affine=True, eps=1e-3)),
    "no_affine": (IMAGE, lambda: nn.InstanceNorm2d(C)),
    "written_out": (IMAGE, lambda: Module(standardized, C)),
    "followed_by_frozen_norm": (
        IMAGE,
        lambda: nn.Sequential(nn.InstanceNorm2d(C), nn.BatchNorm2d(C)),
    ),
}

GROUP_NORMS = {
    "some_groups": (IMAGE, lambda: nn.GroupNorm(8, C)),
    "one_group": (IMAGE, lambda: nn.GroupNorm(1, C)),
    "a_group_a_channel": (IMAGE, lambda: nn.GroupNorm(C, C)),
    "no_affine": (IMAGE, lambda: nn.GroupNorm(8, C, affine=False)),
    "1d": (LINE, lambda: nn.GroupNorm(4, C)),
    "3d": (BLOCK, lambda: nn.GroupNorm(4, C, eps=1e-3)),
    "followed_by_batch_norm": (
        IMAGE,
        lambda: nn.Sequential(nn.GroupNorm(8, C), nn.BatchNorm2d(C)),
    ),
}


def calls(shape, scale=1.0):
    generator = torch.Generator().manual_seed(1)
    return [(scale * torch.randn(batch, *shape, generator=generator) + 0.5,) for batch in (1, 2, 3)]


@pytest.mark.parametrize("case", LAYER_NORMS)
def test_a_layer_norm_is_one_node(case):
    shape, ops, build = LAYER_NORMS[case]
    exported = export(randomized(build()), torch.randn(2, *shape))
    assert exported.ops == Counter(ops)
    exported.assert_agrees(*calls(shape))


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("case", ["bert", "channels_first"])
def test_a_written_layer_norm_is_one_node_at_older_opsets_too(case, opset):
    shape, ops, build = LAYER_NORMS[case]
    exported = export(randomized(build()), torch.randn(2, *shape), opset=opset)
    assert exported.ops == Counter(ops)
    exported.assert_agrees(*calls(shape))


@pytest.mark.parametrize("case", RMS_NORMS)
def test_an_rms_norm_is_one_node(case):
    exported = export(randomized(RMS_NORMS[case]()), torch.randn(2, *TOKENS))
    assert exported.ops == Counter({"RMSNormalization": 1})
    exported.assert_agrees(*calls(TOKENS))


@pytest.mark.parametrize("case", RMS_NORMS)
def test_below_opset_23_an_rms_norm_divides_by_the_root(case):
    exported = export(randomized(RMS_NORMS[case]()), torch.randn(2, *TOKENS), opset=21)
    assert exported.ops["Div"] == 1
    assert exported.ops["Sqrt"] == 1
    assert exported.ops["Reciprocal"] == 0
    exported.assert_agrees(*calls(TOKENS))


@pytest.mark.parametrize("case", INSTANCE_NORMS)
def test_an_instance_norm_is_one_node(case):
    shape, build = INSTANCE_NORMS[case]
    exported = export(randomized(build()), torch.randn(2, *shape))
    assert exported.ops == Counter({"InstanceNormalization": 1})
    exported.assert_agrees(*calls(shape))


@pytest.mark.parametrize("case", GROUP_NORMS)
def test_a_group_norm_is_one_node(case):
    shape, build = GROUP_NORMS[case]
    exported = export(randomized(build()), torch.randn(2, *shape))
    assert exported.ops == Counter({"GroupNormalization": 1})
    (norm,) = exported.nodes("GroupNormalization")
    assert norm.inputs[1].shape == (C,)
    exported.assert_agrees(*calls(shape))


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.InstanceNorm2d(C, affine=True),
        lambda: nn.GroupNorm(8, C),
        lambda: Module(channels_first, C),
        lambda: nn.LocalResponseNorm(3),
    ],
)
def test_a_norm_of_images_holds_for_every_size(build):
    sizes = {0: "batch", 2: "height", 3: "width"}
    exported = export(randomized(build()), torch.randn(2, *IMAGE), shapes=(sizes,))
    exported.assert_agrees(*calls(IMAGE), *calls((C, 9, 5)))


@pytest.mark.parametrize("build", [lambda: Module(bert, C), lambda: Module(llama, C)])
def test_a_norm_of_tokens_holds_for_every_length(build):
    exported = export(build(), torch.randn(2, *TOKENS), shapes=({0: "batch", 1: "length"},))
    exported.assert_agrees(*calls(TOKENS), *calls((9, C)))


class AdaIN(nn.Module):
    """Huang and Belongie, 2017: https://arxiv.org/abs/1703.06868."""

    def __init__(self):
        super().__init__()
        self.norm, self.style = nn.InstanceNorm2d(C), nn.Linear(16, 2 * C)

    def forward(self, x, style):
        scale, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        return (1 + scale) * self.norm(x) + shift


class AdaptiveLayerNorm(nn.Module):
    """Peebles and Xie, 2023: https://arxiv.org/abs/2212.09748."""

    def __init__(self):
        super().__init__()
        self.norm, self.condition = nn.LayerNorm(C, elementwise_affine=False), nn.Linear(16, 2 * C)

    def forward(self, x, condition):
        shift, scale = self.condition(condition).chunk(2, dim=1)
        return self.norm(x) * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


@pytest.mark.parametrize(
    ("build", "op_type", "shape"),
    [(AdaIN, "InstanceNormalization", IMAGE), (AdaptiveLayerNorm, "LayerNormalization", TOKENS)],
)
def test_a_conditional_norm_is_the_norm_a_product_and_a_sum(build, op_type, shape):
    exported = export(build(), torch.randn(2, *shape), torch.randn(2, 16))
    assert exported.ops[op_type] == 1
    assert exported.ops["Mul"] == 1
    assert exported.ops["ReduceMean"] == 0
    assert exported.ops["BatchNormalization"] == 0
    exported.assert_agrees(*[(*call, torch.randn(len(call[0]), 16)) for call in calls(shape)])


def filter_response(x, weight, bias):
    """Singh and Krishnan, 2020: https://arxiv.org/abs/1911.09737."""
    moment = x.pow(2).mean((2, 3), keepdim=True)
    x = x * torch.rsqrt(moment + 1e-6)
    return torch.maximum(weight.view(1, -1, 1, 1) * x, bias.view(1, -1, 1, 1))


def test_a_filter_response_norm_stays_primitives():
    exported = export(Module(filter_response, C), torch.randn(2, *IMAGE))
    assert exported.ops["ReduceMean"] == 1
    assert not [op for op in exported.ops if op.endswith("Normalization")]
    exported.assert_agrees(*calls(IMAGE))


def test_a_local_response_norm_is_the_average_pool_form():
    exported = export(nn.LocalResponseNorm(5), torch.randn(2, *IMAGE))
    assert exported.ops["AveragePool"] == 1
    assert exported.ops["LRN"] == 0
    exported.assert_agrees(*calls(IMAGE, scale=30.0))


def test_an_unbiased_deviation_with_epsilon_outside_the_root_is_no_layer_norm():
    def annotated_transformer(x, weight, bias):
        deviation = x.std(-1, keepdim=True)
        return weight * (x - x.mean(-1, keepdim=True)) / (deviation + 1e-6) + bias

    exported = export(Module(annotated_transformer, C), torch.randn(2, *TOKENS))
    assert exported.ops["LayerNormalization"] == 0
    exported.assert_agrees(*calls(TOKENS))


def test_a_norm_over_the_batch_is_never_taken_for_another():
    def over_batch(x, weight, bias):
        mean = x.mean(0, keepdim=True)
        return (x - mean) / torch.sqrt((x - mean).pow(2).mean(0, keepdim=True) + 1e-5)

    exported = export(Module(over_batch, C), torch.randn(2, *TOKENS))
    assert not [op for op in exported.ops if op.endswith("Normalization")]
    exported.assert_agrees(*calls(TOKENS))


def test_the_rewrite_names_the_node_that_does_a_written_norms_work():
    exported = export(nn.Sequential(Module(bert, C)), torch.randn(2, *TOKENS))
    (norm,) = exported.nodes("LayerNormalization")
    assert {rewrite.rule for rewrite in exported.rewrites} >= {"layer_norm", "fold_behind"}
    fused = [rewrite for rewrite in exported.rewrites if rewrite.rule == "layer_norm"]
    assert [rewrite.into for rewrite in fused] == [(norm.name,)]
    assert "pkg.torch.onnx.name_scopes" in norm.metadata_props
