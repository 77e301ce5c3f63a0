"""How alike two textures are: Gram matrices of random filters, in numpy and in torch.

Ustyuzhaninov et al. 2016 (arXiv:1606.00021) found that one layer of random filters of several sizes
is enough to describe a texture; the Gram matrix of its maps is by Gatys et al. 2015
(arXiv:1505.07376). No network that somebody else trained is needed. The numpy form judges, the
torch form teaches; a test holds them together.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Floats = npt.NDArray[np.floating]

SIZES = (3, 5, 7, 11)
FILTERS = 24
"""Filters of each size."""
SEED = 2016


@cache
def filters() -> tuple[npt.NDArray[np.float32], ...]:
    """Random filters (24, 3, size, size) for each size, with mean 0 and norm 1."""
    rng = np.random.default_rng(SEED)
    banks = []
    for size in SIZES:
        bank = rng.standard_normal((FILTERS, 3, size, size))
        bank -= bank.mean(axis=(2, 3), keepdims=True)
        bank /= np.sqrt(np.square(bank).sum(axis=(1, 2, 3), keepdims=True))
        banks.append(bank.astype(np.float32))
    return tuple(banks)


def grams(pictures: Tensor) -> list[Tensor]:
    """The Gram matrices (batch, 27, 27), one for each size; the colours themselves are maps too."""
    matrices = []
    for bank in filters():
        maps = F.relu(F.conv2d(pictures, torch.from_numpy(bank).to(pictures)))
        size = bank.shape[-1] // 2
        inner = pictures[:, :, size : pictures.shape[2] - size, size : pictures.shape[3] - size]
        flat = torch.cat([maps, inner], dim=1).flatten(2)
        matrices.append(flat @ flat.transpose(1, 2) / flat.shape[2])
    return matrices


def grams_of_array(picture: Floats) -> list[Floats]:
    """The Gram matrices (27, 27) of one picture (3, height, width), in float64."""
    wide = picture.astype(np.float64)
    matrices = []
    for bank in filters():
        size = bank.shape[-1]
        pieces = np.lib.stride_tricks.sliding_window_view(wide, (size, size), axis=(1, 2))
        maps = np.maximum(np.tensordot(bank, pieces, axes=((1, 2, 3), (0, 3, 4))), 0)
        edge = size // 2
        inner = wide[:, edge : wide.shape[1] - edge, edge : wide.shape[2] - edge]
        flat = np.concatenate([maps, inner]).reshape(FILTERS + 3, -1)
        matrices.append(flat @ flat.T / flat.shape[1])
    return matrices
