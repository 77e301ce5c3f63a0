"""Norm parameters and running statistics as after a training, and worse. Not for: other weights.

Libraries build their norms with a scale of 1, a shift of 0, a mean of 0 and a variance of 1: with
those a fold that is wrong, or a norm that is lost, changes nothing.
"""

import torch
from torch import nn

from exporters.layers import is_norm

SEED = 1_502_03167


def randomized(model: nn.Module) -> nn.Module:
    """Draw the parameters and statistics of every norm layer, in place.

    Scales are in ±[0.5, 2] with one in seven negative and one in eleven zero; shifts and running
    means are N(0, 0.5²); running variances are in [0.3, 3].
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for module in model.modules():
            if is_norm(module):
                _randomize(module, generator)
    return model


def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, tensor in own.items():
        if not tensor.is_floating_point():
            continue
        normal = 0.5 * torch.randn(tensor.shape, generator=generator)
        uniform = torch.rand(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.3 + 2.7 * uniform)
        elif name.endswith(("running_mean", "bias", "beta")):
            tensor.copy_(normal)
        elif name.endswith(("weight", "gamma", "scale")):
            scale = (0.5 + 1.5 * uniform).flatten()
            scale[3::7] *= -1
            scale[5::11] = 0
            tensor.copy_(scale.view(tensor.shape))
