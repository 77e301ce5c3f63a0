"""Instance normalization's home: feed-forward style transfer.

The network is by Johnson et al. 2016 (arXiv:1603.08155), with instance normalization in place of
batch normalization (Ulyanov et al. 2016, arXiv:1607.08022).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.batches import cut, numpy_generator
from models.data.photos import LICENCE, SOURCE, SPLIT, crop, photos
from models.data.split import Split
from models.recipe import Batch, Supervised
from models.scene import Arrays, Metric, Notes, Scene, TestSet
from models.texture import Floats, grams, grams_of_array

SIDE = 64
WIDTHS = (16, 32, 48)
BLOCKS = 2
STYLE = slice(140, 330), slice(110, 280)
"""Rows and columns of the temple's roofs and windows in the training part of its photograph."""
STYLE_WEIGHT = 0.4
"""The weight of texture against content."""
BLUR = 2
"""Content is compared after averaging over so many pixels, which leaves texture free."""
CONTRAST_EPS = 1e-3
"""Variances of brightness below this count as flat."""
REQUEST_ITEMS = 4
TEST_SIZES = (((SIDE, SIDE), 16), ((80, 72), 8))
"""Held-out pieces: (height, width) and how many."""
TEST_SEED = 14


class ConvNorm(nn.Sequential):
    """Reflecting border, convolution, instance normalization."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1) -> None:
        super().__init__(
            nn.ReflectionPad2d(size // 2),
            nn.Conv2d(inputs, outputs, size, stride),
            nn.InstanceNorm2d(outputs, affine=True),
        )


class Residual(nn.Module):
    """Two convolutions with instance normalization, and the way around them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = ConvNorm(features, features, 3)
        self.second = ConvNorm(features, features, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features, height, width) to the same."""
        y: Tensor = x + self.second(F.relu(self.first(x)))
        return y


class StyleTransfer(nn.Module):
    """Down twice, two residual blocks, up twice; the answer has the size of the question."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.stem = ConvNorm(3, fine, 7)
        self.down1 = ConvNorm(fine, middle, 3, stride=2)
        self.down2 = ConvNorm(middle, coarse, 3, stride=2)
        self.blocks = nn.Sequential(*(Residual(coarse) for _ in range(BLOCKS)))
        self.up1 = ConvNorm(coarse, middle, 3)
        self.up2 = ConvNorm(middle, fine, 3)
        self.head = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(fine, 3, 7))

    def forward(self, pixels: Tensor) -> Tensor:
        """Paint a picture anew.

        Args:
            pixels: (batch, 3, height, width) in [0, 1], at least 8 pixels high and wide.

        Returns:
            The picture in the learned style, in the same shape and range.
        """
        fine = F.relu(self.stem(pixels))
        middle = F.relu(self.down1(fine))
        x = self.blocks(F.relu(self.down2(middle)))
        x = F.relu(self.up1(F.interpolate(x, size=middle.shape[2:])))
        x = F.relu(self.up2(F.interpolate(x, size=fine.shape[2:])))
        return torch.sigmoid(self.head(x))


@cache
def _style() -> Floats:
    return np.ascontiguousarray(photos(Split.TRAIN)[0][:, *STYLE])


def _pieces(split: Split, count: int, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    height, width = size
    return np.stack(
        [
            crop(photos(split)[rng.integers(2)], height=height, width=width, rng=rng)
            for _ in range(count)
        ]
    )


def _draw(count: int, generator: torch.Generator) -> Batch:
    pieces = _pieces(Split.TRAIN, count, (SIDE, SIDE), numpy_generator(generator))
    return torch.from_numpy(pieces), torch.from_numpy(_style()[None])


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    """The distance of textures from the style's, and of blurred pictures from the content's."""
    content, style = batch
    painted = model(content)
    texture = sum(
        (mine - wanted).square().sum(dim=(1, 2)).mean()
        for mine, wanted in zip(grams(painted), grams(style), strict=True)
    )
    content_error = (_structure(painted) - _structure(content)).square().mean()
    return STYLE_WEIGHT * torch.as_tensor(texture) + content_error


def _structure(pictures: Tensor) -> Tensor:
    """The blurred brightness, free of its mean and contrast, which belong to the style."""
    blurred = F.avg_pool2d(pictures.mean(dim=1, keepdim=True), BLUR)
    return F.instance_norm(blurred, eps=CONTRAST_EPS)


def _real(seed: int, items: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    return (torch.from_numpy(_pieces(Split.TRAIN, items, size, np.random.default_rng(seed))),)


@cache
def _test_set() -> TestSet:
    rng = np.random.default_rng(TEST_SEED)
    batches: list[Arrays] = []
    for size, count in TEST_SIZES:
        batches += cut(REQUEST_ITEMS, pixels=_pieces(Split.TEST, count, size, rng))
    return TestSet(tuple(batches), {"style": _style()[None]})


def _structure_of_array(picture: Floats) -> Floats:
    """`_structure` of one picture (3, height, width), in float64."""
    rows, columns = (size // BLUR for size in picture.shape[1:])
    whole = picture.astype(np.float64).mean(axis=0)[: rows * BLUR, : columns * BLUR]
    blurred = whole.reshape(rows, BLUR, columns, BLUR).mean(axis=(1, 3))
    return np.asarray((blurred - blurred.mean()) / np.sqrt(blurred.var() + CONTRAST_EPS))


def _objective(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    """The recipe's loss, averaged over the held-out pieces."""
    wanted = grams_of_array(test_set.targets["style"][0])
    losses = []
    for batch, output in zip(test_set.batches, outputs, strict=True):
        for content, painted in zip(batch["pixels"], output["painted"], strict=True):
            pairs = zip(grams_of_array(painted), wanted, strict=True)
            texture = sum(float(np.square(mine - style).sum()) for mine, style in pairs)
            moved = np.square(_structure_of_array(painted) - _structure_of_array(content)).mean()
            losses.append(STYLE_WEIGHT * texture + float(moved))
    return float(np.mean(losses))


def _unpainted(batch: Arrays) -> Arrays:
    return {"painted": batch["pixels"]}


def _recoloured(batch: Arrays) -> Arrays:
    """Give each colour the mean and the deviation that it has in the style."""
    pixels, style = batch["pixels"], _style()[None]
    axes = (2, 3)
    plain = (pixels - pixels.mean(axis=axes, keepdims=True)) / (
        pixels.std(axis=axes, keepdims=True) + 1e-3
    )
    recoloured = plain * style.std(axis=axes, keepdims=True) + style.mean(axis=axes, keepdims=True)
    return {"painted": np.clip(recoloured, 0, 1)}


SCENE = Scene(
    name="style_transfer",
    title="feed-forward network that paints with a temple's roof tiles",
    normalization="InstanceNorm",
    task="style transfer",
    notes=Notes(
        data=f"{SOURCE} The style is a piece of the temple, 190 x 170 pixels.",
        split=SPLIT,
        licence=LICENCE,
        use="Shows instance normalization with a dynamic size. Its style was learned from two "
        "photographs with textures of at most 11 pixels; not for art.",
        architecture="Johnson et al. with two residual blocks, 16, 32 and 48 channels, "
        "InstanceNorm2d",
    ),
    build=StyleTransfer,
    input_names=("pixels",),
    output_names=("painted",),
    example_inputs=lambda: _real(1, 3, (SIDE, SIDE)),
    reference_inputs=lambda: [
        _real(2, 1, (SIDE, SIDE)),
        _real(3, 2, (96, 80)),
        _real(4, 4, (61, 70)),
    ],
    dynamic_shapes={"pixels": {0: "batch", 2: "height", 3: "width"}},
    test_set=_test_set,
    metric=Metric(
        name="perceptual objective",
        higher_is_better=False,
        digits=3,
        compute=_objective,
    ),
    baselines={
        "the unpainted picture": _unpainted,
        "the picture with the style's colour statistics": _recoloured,
    },
    recipe=Supervised(seed=1, steps=1000, batch_size=4, learning_rate=4e-3, draw=_draw, loss=_loss),
)
