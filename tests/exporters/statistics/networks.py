"""Small networks that tests of statistics share."""

import torch
from torch import nn


def conv_net(channels=6):
    """Two batch norms behind convolutions, and a mean."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, channels, 3),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3),
        nn.BatchNorm2d(channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
    )


def data(rows=64, *, scale=1.0, shift=0.0, seed=0):
    """(rows, 2, 8, 8), each row with a mean of its own, as pictures have."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, 2, 8, 8, generator=generator)
    return scale * (noise + torch.randn(rows, 1, 1, 1, generator=generator)) + shift


def trained(model, x=None, batches=60):
    """The model as a training leaves it whose weights stood still: statistics of `x`, eval mode."""
    x = data(256, seed=1) if x is None else x
    model.train()
    with torch.no_grad():
        for number in range(batches):
            model(x[(torch.arange(32) + 32 * number) % len(x)])
    return model.eval()
