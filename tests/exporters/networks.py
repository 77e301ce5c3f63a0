"""Small networks that tests of the exporter share, each with one thing to trip over."""

import torch
from torch import nn
from torch.nn import functional


def trained(module, seed=0):
    """The module with norms as after a training: parameters and running statistics of their own."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if "Norm" not in type(layer).__name__:
            continue
        for parameter in layer.parameters(recurse=False):
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        if getattr(layer, "running_mean", None) is not None:
            layer.running_mean.copy_(torch.randn(layer.running_mean.shape, generator=generator))
            layer.running_var.copy_(0.1 + torch.rand(layer.running_var.shape, generator=generator))
    return module


class ConvNet(nn.Module):
    """One convolution, one batch norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, pixels):
        return self.bn(self.conv(pixels))


class StuckInTraining(ConvNet):
    """Keeps its batch norm in training mode, whatever it is told."""

    def train(self, mode=True):
        super().train(mode)
        self.bn.training = True
        return self


class DeafToEval(ConvNet):
    """Does not pass the mode on to its layers."""

    def train(self, mode=True):
        self.training = mode
        return self


class FunctionalBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("variance", torch.ones(3))

    def forward(self, x):
        return functional.batch_norm(x, self.mean, self.variance, training=True)


class BatchStatisticsByHand(nn.Module):
    def forward(self, x):
        return (x - x.mean(0, keepdim=True)) / (x.var(0, keepdim=True) + 1e-5).sqrt()


class Inside(nn.Module):
    """Any layer, two levels down, to see its qualified name."""

    def __init__(self, layer):
        super().__init__()
        self.body = nn.Sequential(nn.Identity(), layer)

    def forward(self, x):
        return self.body(x)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class Counter(nn.Module):
    """Counts its calls, and may let the count into its output."""

    def __init__(self, *, shown):
        super().__init__()
        self.shown = shown
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * self.calls if self.shown else x * 2


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)
