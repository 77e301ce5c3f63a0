"""Each normalization layer against its paper's formula, written out here once more in float64."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.nn.functional import layer_norm as torch_layer_norm

from models.norms import (
    AdaptiveInstanceNorm2d,
    AdaptiveLayerNorm,
    FilterResponseNorm2d,
    LayerNorm2d,
    LayerNormLSTM,
    LayerNormLSTMCell,
    PixelNorm,
    SwitchableNorm1d,
    SwitchableNorm2d,
    WeightStandardizedConv2d,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
"""float64 against float64: nothing but the order of additions differs."""


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


def randomized(module):
    """Give every parameter and every running statistic a value that a mistake would show."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            buffer.copy_(
                torch.rand_like(buffer) + 0.5 if "var" in name else torch.randn_like(buffer)
            )
    return module.double()


def maps(*shape):
    return 3 * torch.randn(*shape, dtype=torch.float64) + 2


def softmax(parameter):
    raw = np.exp(parameter.detach().numpy())
    return raw / raw.sum()


def switchable_by_the_paper(x, norm, *, batch_mean, batch_var):
    """Equations 2 to 5 of Luo et al. 2018 for maps, with the authors' unbiased variance."""
    items, channels = x.shape[:2]
    mean_weight = softmax(norm.mean_weight)
    var_weight = softmax(norm.var_weight)
    expected = np.empty(x.shape)
    for n in range(items):
        instance_mean = np.array([x[n, c].mean() for c in range(channels)])
        instance_var = np.array([x[n, c].var(ddof=1) for c in range(channels)])
        layer_mean = instance_mean.mean()
        layer_var = (instance_var + instance_mean**2).mean() - layer_mean**2
        for c in range(channels):
            mean = mean_weight @ [instance_mean[c], layer_mean, batch_mean[c]]
            var = var_weight @ [instance_var[c], layer_var, batch_var[c]]
            normal = (x[n, c] - mean) / np.sqrt(var + norm.eps)
            expected[n, c] = normal * norm.weight[c].item() + norm.bias[c].item()
    return expected


def test_switchable_norm_in_eval_mixes_instance_layer_and_running_statistics():
    norm = randomized(SwitchableNorm2d(5)).eval()
    x = maps(4, 5, 6, 7)
    expected = switchable_by_the_paper(
        x.numpy(), norm, batch_mean=norm.running_mean.numpy(), batch_var=norm.running_var.numpy()
    )
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, **EXACT)


def test_switchable_norm_in_training_mixes_instance_layer_and_batch_statistics():
    norm = randomized(SwitchableNorm2d(5)).train()
    x = maps(4, 5, 6, 7)
    instance_mean = x.numpy().mean(axis=(2, 3))
    instance_var = x.numpy().var(axis=(2, 3), ddof=1)
    batch_mean = instance_mean.mean(axis=0)
    batch_var = (instance_var + instance_mean**2).mean(axis=0) - batch_mean**2
    expected = switchable_by_the_paper(x.numpy(), norm, batch_mean=batch_mean, batch_var=batch_var)
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, **EXACT)


def test_switchable_norm_moves_its_running_statistics_in_training_only():
    norm = SwitchableNorm2d(5, momentum=0.25).double()
    x = maps(4, 5, 6, 7)
    norm.eval()(x)
    assert torch.equal(norm.running_mean, torch.zeros(5, dtype=torch.float64))
    norm.train()(x)
    np.testing.assert_allclose(
        norm.running_mean.numpy(), 0.25 * x.numpy().mean(axis=(0, 2, 3)), **EXACT
    )
    assert not torch.equal(norm.running_var, torch.ones(5, dtype=torch.float64))


def test_switchable_norm_keeps_its_precision_when_the_mean_is_large():
    norm = randomized(SwitchableNorm2d(8)).eval()
    norm.running_mean.fill_(1000.0)
    x = torch.randn(2, 8, 16, 16, dtype=torch.float64) + 1000
    single = SwitchableNorm2d(8).eval()
    single.load_state_dict(norm.state_dict())
    rounded = x.float()
    error = (single(rounded).double() - norm(rounded.double())).abs().max().item()
    assert error < 1e-3


@pytest.mark.parametrize("training", [False, True])
def test_switchable_norm_of_features_mixes_layer_and_batch_statistics(training):
    norm = randomized(SwitchableNorm1d(6)).train(training)
    x = maps(5, 6)
    values = x.numpy()
    if training:
        batch_mean, batch_var = values.mean(axis=0), values.var(axis=0, ddof=1)
    else:
        batch_mean, batch_var = norm.running_mean.numpy().copy(), norm.running_var.numpy().copy()
    m = softmax(norm.mean_weight)
    v = softmax(norm.var_weight)
    mean = m[0] * values.mean(axis=1, keepdims=True) + m[1] * batch_mean
    var = v[0] * values.var(axis=1, ddof=1, keepdims=True) + v[1] * batch_var
    expected = (values - mean) / np.sqrt(var + norm.eps)
    expected = expected * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, **EXACT)


def test_adaptive_instance_norm_takes_scale_and_shift_from_the_style():
    norm = randomized(AdaptiveInstanceNorm2d(3, 4))
    x, style = maps(2, 3, 5, 6), maps(2, 4)
    affine = style.numpy() @ norm.style.weight.detach().numpy().T + norm.style.bias.detach().numpy()
    scale, shift = affine[:, :3, None, None], affine[:, 3:, None, None]
    mean = x.numpy().mean(axis=(2, 3), keepdims=True)
    var = x.numpy().var(axis=(2, 3), keepdims=True)
    expected = (1 + scale) * (x.numpy() - mean) / np.sqrt(var + norm.eps) + shift
    np.testing.assert_allclose(norm(x, style).detach().numpy(), expected, **EXACT)


def test_adaptive_layer_norm_takes_scale_and_shift_from_the_condition():
    norm = randomized(AdaptiveLayerNorm(3, 4))
    x, condition = maps(2, 7, 3), maps(2, 4)
    weight, bias = norm.condition.weight.detach().numpy(), norm.condition.bias.detach().numpy()
    affine = (condition.numpy() @ weight.T + bias)[:, None]
    mean, var = x.numpy().mean(axis=2, keepdims=True), x.numpy().var(axis=2, keepdims=True)
    normal = (x.numpy() - mean) / np.sqrt(var + norm.eps)
    expected = (1 + affine[..., :3]) * normal + affine[..., 3:]
    np.testing.assert_allclose(norm(x, condition).detach().numpy(), expected, **EXACT)


def test_adaptive_layer_norm_begins_as_plain_layer_norm():
    norm = AdaptiveLayerNorm(3, 4).double()
    x = maps(2, 7, 3)
    torch.testing.assert_close(norm(x, maps(2, 4)), torch_layer_norm(x, (3,), eps=norm.eps))


def test_layer_norm_2d_normalizes_the_channels_of_each_pixel():
    norm = randomized(LayerNorm2d(6))
    x = maps(2, 6, 3, 4)
    mean, var = x.numpy().mean(axis=1, keepdims=True), x.numpy().var(axis=1, keepdims=True)
    weight, bias = (
        parameter.detach().numpy()[:, None, None] for parameter in (norm.weight, norm.bias)
    )
    expected = (x.numpy() - mean) / np.sqrt(var + norm.eps) * weight + bias
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, **EXACT)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3, 2)])
def test_pixel_norm_divides_by_the_root_mean_square_of_the_features(shape):
    x = maps(*shape)
    expected = x.numpy() / np.sqrt((x.numpy() ** 2).mean(axis=1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(PixelNorm()(x).numpy(), expected, **EXACT)


def test_pixel_norm_of_zeros_is_zero():
    assert torch.equal(PixelNorm()(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_filter_response_norm_divides_by_the_root_mean_square_and_cuts_at_its_threshold():
    norm = randomized(FilterResponseNorm2d(5))
    x = maps(2, 5, 4, 3)
    weight, bias, threshold = (
        parameter.detach().numpy() for parameter in (norm.weight, norm.bias, norm.threshold)
    )
    normal = x.numpy() / np.sqrt((x.numpy() ** 2).mean(axis=(2, 3), keepdims=True) + norm.eps)
    expected = np.maximum(weight * normal + bias, threshold)
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, **EXACT)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer_norm(x, norm):
    normal = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + norm.eps)
    return normal * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def step_by_the_paper(cell, x, h, c):
    """Equations 20 to 22 of Ba et al. 2016."""
    gates = layer_norm(h @ cell.hidden.weight.detach().numpy().T, cell.hidden_norm)
    gates = gates + layer_norm(x @ cell.input.weight.detach().numpy().T, cell.input_norm)
    f, i, o, g = np.split(gates + cell.bias.detach().numpy(), 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(layer_norm(c, cell.cell_norm)), c


def test_layer_norm_lstm_cell_follows_the_equations():
    cell = randomized(LayerNormLSTMCell(3, 5))
    x, h, c = maps(2, 3), maps(2, 5), maps(2, 5)
    expected = step_by_the_paper(cell, x.numpy(), h.numpy(), c.numpy())
    for got, wanted in zip(cell(x, h, c), expected, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), wanted, **EXACT)


def test_layer_norm_lstm_runs_its_cell_along_the_sequence():
    lstm = randomized(LayerNormLSTM(3, 5))
    x = maps(2, 4, 3)
    h = c = np.zeros((2, 5))
    for step in range(4):
        h, c = step_by_the_paper(lstm.cell, x[:, step].numpy(), h, c)
        np.testing.assert_allclose(lstm(x)[:, step].detach().numpy(), h, **EXACT)


def test_layer_norm_lstm_begins_with_an_open_forget_gate():
    cell = LayerNormLSTMCell(3, 5)
    assert torch.equal(cell.bias.detach(), torch.cat([torch.ones(5), torch.zeros(15)]))


@pytest.mark.parametrize("groups", [1, 2])
def test_weight_standardized_conv_uses_filters_of_mean_0_and_variance_1(groups):
    conv = randomized(WeightStandardizedConv2d(4, 6, 3, stride=2, padding=1, groups=groups))
    x = maps(2, 4, 8, 8)
    raw = conv.weight.detach().numpy()
    mean, var = raw.mean(axis=(1, 2, 3), keepdims=True), raw.var(axis=(1, 2, 3), keepdims=True)
    weight = torch.from_numpy((raw - mean) / np.sqrt(var + conv.weight_eps))
    expected = conv2d(x, weight, conv.bias, stride=2, padding=1, groups=groups)
    np.testing.assert_allclose(conv(x).detach().numpy(), expected.detach().numpy(), **EXACT)


class WithStyle(nn.Module):
    """A layer with a second input, which is made from the first here."""

    def __init__(self, layer, width):
        super().__init__()
        self.layer = layer
        self.width = width

    def forward(self, x):
        return self.layer(x, x.flatten(1)[:, : self.width])


LAYERS = {
    "AdaptiveInstanceNorm2d": (lambda: WithStyle(AdaptiveInstanceNorm2d(6, 4), 4), (4, 6, 5, 5)),
    "AdaptiveLayerNorm": (lambda: WithStyle(AdaptiveLayerNorm(6, 4), 4), (4, 5, 6)),
    "FilterResponseNorm2d": (lambda: FilterResponseNorm2d(6), (4, 6, 5, 5)),
    "LayerNorm2d": (lambda: LayerNorm2d(6), (4, 6, 5, 5)),
    "LayerNormLSTM": (lambda: LayerNormLSTM(6, 5), (4, 7, 6)),
    "PixelNorm": (PixelNorm, (4, 6, 5, 5)),
    "SwitchableNorm1d": (lambda: SwitchableNorm1d(6), (4, 6)),
    "SwitchableNorm2d": (lambda: SwitchableNorm2d(6), (4, 6, 5, 5)),
    "WeightStandardizedConv2d": (lambda: WeightStandardizedConv2d(6, 8, 3), (4, 6, 5, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_in_eval_a_row_does_not_depend_on_its_neighbours(name):
    build, shape = LAYERS[name]
    norm = randomized(build()).eval()
    x = maps(*shape)
    alone = norm(x[:1])
    x[1:] = 1e4 * x[1:]
    torch.testing.assert_close(norm(x)[:1], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_in_training_gradients_reach_the_input_and_every_parameter(name):
    build, shape = LAYERS[name]
    norm = randomized(build()).train()
    x = maps(*shape).requires_grad_()
    (norm(x) ** 3).sum().backward()
    for tensor in (x, *norm.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().max() > 0


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_is_that_of_the_formula(name):
    build, shape = LAYERS[name]
    norm = randomized(build()).train()
    assert torch.autograd.gradcheck(norm, (maps(2, *shape[1:]).requires_grad_(),), fast_mode=True)
