"""What the exported graph must show of BatchNorm, in whatever surroundings it stands."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from tests.exporters.harness import export, randomized

C = 64


class Net(nn.Module):
    """Layers by name and a function that wires them."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.wire = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.wire(self, x)


class FrozenBatchNorm(nn.Module):
    """As in DETR: a product and a sum with buffers."""

    def __init__(self, channels):
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.ones(channels))

    def forward(self, x):
        shape = (1, -1, 1, 1)
        scale = self.weight.view(shape) * (self.running_var.view(shape) + 1e-5).rsqrt()
        return x * scale + (self.bias.view(shape) - self.running_mean.view(shape) * scale)


class LayerScale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, x):
        return x * self.gamma.view(-1, 1, 1)


class StandardizedConv2d(nn.Conv2d):
    """Weight standardization: https://arxiv.org/abs/1903.10520."""

    def forward(self, x):
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        variance = self.weight.var((1, 2, 3), keepdim=True, unbiased=False)
        weight = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class UnmergedWeightNorm(nn.Conv2d):
    """A weight norm (https://arxiv.org/abs/1602.07868) that no preparation knows of."""

    def forward(self, x):
        norm = torch.linalg.vector_norm(self.weight, dim=(1, 2, 3), keepdim=True)
        return functional.conv2d(x, 2 * self.weight / norm, self.bias)


def chain(*layers):
    return lambda: nn.Sequential(*layers)


def tokens(net, x):
    return net.norm(net.linear(x).transpose(1, 2)).transpose(1, 2)


def one_by_one(net, x):
    return net.norm(net.linear(x.flatten(2).transpose(1, 2)).transpose(1, 2)).relu()


def of_concat(net, x):
    return net.norm(torch.cat([net.left(x), net.right(x), net.last(x)], 1))


def three_branches(width):
    return {
        "left": nn.Conv2d(C, C, 3, padding=1),
        "right": nn.Conv2d(C, C, 1, bias=False),
        "last": nn.ConvTranspose2d(C, C, 3, padding=1),
        "norm": nn.BatchNorm2d(width),
    }


def twice(net, x):
    return net.second(net.conv(x.relu())) + net.first(net.conv(x))


def tied(net, x):
    return net.norm(net.conv(x)) + net.conv(x.relu())


IMAGE, LINE, BLOCK, ROW = (C, 9, 8), (C, 12), (C, 4, 5, 4), (C,)
FOLDED = {
    "after_conv": (IMAGE, {"Conv": 1}, chain(nn.Conv2d(C, C, 3), nn.BatchNorm2d(C))),
    "after_conv_with_zero_padding": (
        IMAGE,
        {"Conv": 1},
        chain(nn.Conv2d(C, C, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(C)),
    ),
    "after_dilated_grouped_conv": (
        IMAGE,
        {"Conv": 1},
        chain(nn.Conv2d(C, 2 * C, 3, dilation=2, groups=2), nn.BatchNorm2d(2 * C)),
    ),
    "after_depthwise_conv": (
        IMAGE,
        {"Conv": 1},
        chain(nn.Conv2d(C, C, 5, padding=2, groups=C, bias=False), nn.BatchNorm2d(C)),
    ),
    "after_reflecting_conv": (
        IMAGE,
        {"Pad": 1, "Conv": 1},
        chain(nn.Conv2d(C, C, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(C)),
    ),
    "after_circular_conv": (
        IMAGE,
        None,
        chain(nn.Conv2d(C, C, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(C)),
    ),
    "after_conv_1d": (LINE, {"Conv": 1}, chain(nn.Conv1d(C, 3 * C, 3), nn.BatchNorm1d(3 * C))),
    "after_conv_3d": (BLOCK, {"Conv": 1}, chain(nn.Conv3d(C, C, 2), nn.BatchNorm3d(C))),
    "after_conv_transpose": (
        IMAGE,
        {"ConvTranspose": 1},
        chain(
            nn.ConvTranspose2d(C, C, 3, 2, output_padding=1, groups=4), nn.BatchNorm2d(C, eps=1e-3)
        ),
    ),
    "after_conv_transpose_1d": (
        LINE,
        {"ConvTranspose": 1},
        chain(nn.ConvTranspose1d(C, 2 * C, 3, bias=False), nn.BatchNorm1d(2 * C)),
    ),
    "after_conv_transpose_3d": (
        BLOCK,
        {"ConvTranspose": 1},
        chain(nn.ConvTranspose3d(C, C, 2, groups=2), nn.BatchNorm3d(C)),
    ),
    "after_linear": (ROW, {"Gemm": 1}, chain(nn.Linear(C, 600), nn.BatchNorm1d(600))),
    "after_linear_without_bias": (
        ROW,
        {"Gemm": 1},
        chain(nn.Linear(C, 600, bias=False), nn.BatchNorm1d(600, affine=False)),
    ),
    "sync_batch_norm": (IMAGE, {"Conv": 1}, chain(nn.Conv2d(C, C, 3), nn.SyncBatchNorm(C))),
    "two_in_a_row": (
        IMAGE,
        {"Conv": 1},
        chain(nn.Conv2d(C, C, 3), nn.BatchNorm2d(C), nn.BatchNorm2d(C)),
    ),
    "frozen_after_conv": (
        IMAGE,
        {"Conv": 1},
        chain(nn.Conv2d(C, C, 3, padding=1, bias=False), FrozenBatchNorm(C)),
    ),
    "layer_scale_after_conv": (IMAGE, {"Conv": 1}, chain(nn.Conv2d(C, C, 1), LayerScale(C))),
    "instance_norm_with_statistics": (
        IMAGE,
        {"Conv": 1},
        chain(nn.Conv2d(C, C, 3), nn.InstanceNorm2d(C, affine=True, track_running_stats=True)),
    ),
    "over_tokens": (
        (7, C),
        {"MatMul": 1, "Add": 1},
        lambda: Net(tokens, linear=nn.Linear(C, 600), norm=nn.BatchNorm1d(600)),
    ),
    "over_tokens_without_bias": (
        (7, C),
        {"MatMul": 1, "Add": 1},
        lambda: Net(tokens, linear=nn.Linear(C, 600, bias=False), norm=nn.BatchNorm1d(600)),
    ),
    "over_flattened_tokens": (
        IMAGE,
        {"Reshape": 1, "Transpose": 2, "MatMul": 1, "Add": 1, "Relu": 1},
        lambda: Net(one_by_one, linear=nn.Linear(C, C), norm=nn.BatchNorm1d(C)),
    ),
    "over_concat_of_convs": (
        IMAGE,
        {"Conv": 2, "ConvTranspose": 1, "Concat": 1},
        lambda: Net(of_concat, **three_branches(3 * C)),
    ),
    "before_conv_without_padding": (
        IMAGE,
        {"Conv": 1},
        chain(nn.BatchNorm2d(C), nn.Conv2d(C, C, 3, stride=2)),
    ),
    "before_grouped_conv_without_bias": (
        IMAGE,
        {"Conv": 1},
        chain(nn.BatchNorm2d(C), nn.Conv2d(C, 2 * C, 3, groups=4, bias=False)),
    ),
    "before_reflecting_conv": (
        IMAGE,
        {"Pad": 1, "Conv": 1},
        chain(nn.BatchNorm2d(C), nn.ReflectionPad2d(1), nn.Conv2d(C, C, 3)),
    ),
    "before_replicating_conv": (
        IMAGE,
        {"Pad": 1, "Conv": 1},
        chain(nn.BatchNorm2d(C), nn.Conv2d(C, C, 3, padding=1, padding_mode="replicate")),
    ),
    "before_linear": (ROW, {"Gemm": 1}, chain(nn.BatchNorm1d(C), nn.Linear(C, 600))),
    "before_linear_without_bias": (
        ROW,
        {"Gemm": 1},
        chain(nn.BatchNorm1d(C), nn.Linear(C, 600, bias=False)),
    ),
    "before_flattened_linear": (
        (C, 3, 4),
        {"Reshape": 1, "Gemm": 1},
        chain(nn.BatchNorm2d(C), nn.Flatten(), nn.Linear(C * 12, 100)),
    ),
    "before_pooled_linear": (
        IMAGE,
        None,
        chain(nn.BatchNorm2d(C), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, 600)),
    ),
    "behind_weight_norm": (
        IMAGE,
        {"Conv": 1},
        chain(parametrizations.weight_norm(nn.Conv2d(C, C, 3)), nn.BatchNorm2d(C)),
    ),
    "behind_spectral_norm": (
        IMAGE,
        {"Conv": 1},
        chain(nn.utils.spectral_norm(nn.Conv2d(C, C, 3)), nn.BatchNorm2d(C)),
    ),
    "behind_weight_standardization": (
        IMAGE,
        {"Conv": 1},
        chain(StandardizedConv2d(C, C, 3, padding=1), nn.BatchNorm2d(C)),
    ),
    "behind_unmerged_weight_norm": (
        IMAGE,
        {"Conv": 1},
        chain(UnmergedWeightNorm(C, C, 3), nn.BatchNorm2d(C)),
    ),
    "behind_one_conv_used_with_two_norms": (
        IMAGE,
        {"Conv": 2, "Relu": 1, "Add": 1},
        lambda: Net(
            twice, conv=nn.Conv2d(C, C, 3), first=nn.BatchNorm2d(C), second=nn.BatchNorm2d(C)
        ),
    ),
    "behind_one_use_of_a_conv_used_twice": (
        IMAGE,
        {"Conv": 2, "Relu": 1, "Add": 1},
        lambda: Net(tied, conv=nn.Conv2d(C, C, 3), norm=nn.BatchNorm2d(C)),
    ),
}


def residual(net, x):
    return net.norm(net.conv(x) + x)


def dense(net, x):
    return net.norm(torch.cat([x, net.conv(x)], 1)).relu()


def shared_output(net, x):
    y = net.conv(x)
    return net.norm(y) * y.sigmoid()


def also_an_output(net, x):
    y = net.conv(x)
    return net.norm(y), y


def frozen_residual(net, x):
    return net.norm(net.conv(x) + x).relu()


KEPT = {
    "pre_activation": (
        {"BatchNormalization": 1, "Relu": 1, "Conv": 1},
        chain(nn.BatchNorm2d(C), nn.ReLU(), nn.Conv2d(C, C, 3)),
    ),
    "before_zero_padding": (
        {"BatchNormalization": 1, "Conv": 1},
        chain(nn.BatchNorm2d(C), nn.Conv2d(C, C, 3, padding=1)),
    ),
    "on_a_residual_sum": (
        {"BatchNormalization": 1, "Conv": 1, "Add": 1},
        lambda: Net(residual, conv=nn.Conv2d(C, C, 3, padding=1), norm=nn.BatchNorm2d(C)),
    ),
    "over_a_dense_concat": (
        {"BatchNormalization": 1, "Conv": 1, "Concat": 1, "Relu": 1},
        lambda: Net(dense, conv=nn.Conv2d(C, C, 3, padding=1), norm=nn.BatchNorm2d(2 * C)),
    ),
    "after_a_conv_that_is_used_twice": (
        {"BatchNormalization": 1, "Conv": 1, "Sigmoid": 1, "Mul": 1},
        lambda: Net(shared_output, conv=nn.Conv2d(C, C, 3), norm=nn.BatchNorm2d(C)),
    ),
    "after_a_conv_that_is_an_output": (
        {"BatchNormalization": 1, "Conv": 1},
        lambda: Net(also_an_output, conv=nn.Conv2d(C, C, 3), norm=nn.BatchNorm2d(C)),
    ),
    "frozen_on_a_residual_sum": (
        {"BatchNormalization": 1, "Conv": 1, "Add": 1, "Relu": 1},
        lambda: Net(frozen_residual, conv=nn.Conv2d(C, C, 3, padding=1), norm=FrozenBatchNorm(C)),
    ),
    "twice_on_the_input": (
        {"BatchNormalization": 1},
        chain(nn.BatchNorm2d(C), nn.BatchNorm2d(C, affine=False)),
    ),
}


def calls(shape):
    """Three batch sizes; images also in a second size."""
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(batch, *shape, generator=generator),) for batch in (1, 2, 3)]


@pytest.mark.parametrize("case", FOLDED)
def test_a_batch_norm_that_can_be_folded_is_gone(case):
    shape, ops, build = FOLDED[case]
    exported = export(randomized(build()), torch.randn(2, *shape))
    if ops is not None:
        assert exported.ops == Counter(ops)
    assert not {"BatchNormalization", "Mul", "Sub", "Div"} & exported.ops.keys()
    exported.assert_agrees(*calls(shape))
    assert any(rewrite.into for rewrite in exported.rewrites)


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("case", ["after_conv", "over_tokens", "before_flattened_linear"])
def test_a_batch_norm_is_folded_at_older_opsets_too(case, opset):
    shape, ops, build = FOLDED[case]
    exported = export(randomized(build()), torch.randn(2, *shape), opset=opset)
    assert exported.ops == Counter(ops)
    exported.assert_agrees(*calls(shape))


@pytest.mark.parametrize("case", KEPT)
def test_a_batch_norm_that_cannot_be_folded_is_one_node_with_one_output(case):
    ops, build = KEPT[case]
    exported = export(randomized(build()), torch.randn(2, *IMAGE))
    assert exported.ops == Counter(ops)
    (norm,) = exported.nodes("BatchNormalization")
    assert len(norm.outputs) == 1
    assert norm.attributes.get_int("training_mode", 0) == 0
    exported.assert_agrees(*calls(IMAGE))


@pytest.mark.parametrize("case", ["after_conv", "before_reflecting_conv"])
def test_a_folded_batch_norm_holds_for_every_size_of_image(case):
    _, _, build = FOLDED[case]
    sizes = {0: "batch", 2: "height", 3: "width"}
    exported = export(randomized(build()), torch.randn(2, C, 9, 8), shapes=(sizes,))
    exported.assert_agrees(*calls((C, 9, 8)), *calls((C, 6, 15)))


def test_the_value_of_a_folded_norm_keeps_its_name():
    net = nn.Sequential(nn.Conv2d(C, C, 3), nn.BatchNorm2d(C), nn.ReLU(), nn.Conv2d(C, C, 3))
    exported = export(randomized(net), torch.randn(2, *IMAGE))
    (rewrite,) = exported.rewrites
    assert rewrite.rule == "fold_behind"
    carriers = [
        node
        for node in exported.model.graph
        if rewrite.value in {output.name for output in node.outputs}
    ]
    assert [node.name for node in carriers] == list(rewrite.into)


def test_a_norm_folded_forward_names_every_reader_that_took_it_up():
    def attend(net, x):
        y = net.norm(x)
        return net.query(y) * net.key(y)

    net = Net(attend, norm=nn.BatchNorm1d(C), query=nn.Linear(C, 600), key=nn.Linear(C, 600))
    exported = export(randomized(net), torch.randn(2, C))
    (rewrite,) = exported.rewrites
    assert rewrite.rule == "fold_in_front"
    assert set(rewrite.into) == {node.name for node in exported.nodes("Gemm")}
    exported.assert_agrees(*calls((C,)))
