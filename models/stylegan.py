"""Adaptive instance normalization in a generator, after StyleGAN (Karras et al. 2019).

arXiv:1812.04948. Nothing random happens inside the network: the latent vector and the noise of each
layer are inputs, so that the same request always has the same answer.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adversarial import Adversarial
from models.data.batches import cut, positions
from models.data.digits import CLASSES, LICENCE, SOURCE, SPLIT, digits
from models.data.split import Split
from models.metrics import gather
from models.norms import AdaptiveInstanceNorm2d, PixelNorm
from models.recipe import Batch
from models.scene import Array, Arrays, Metric, Notes, Scene, TestSet

LATENT = 32
STYLE = 48
FEATURES = 48
START = 4
"""The side of the learned constant that every picture begins with."""
SIDE = 8
NOISES = 2
"""Layers at each resolution, each with its own noise."""
SLOPE = 0.2
INPUTS = ("latent", "label", "coarse_noise", "fine_noise")
REQUEST_ITEMS = 50
DRAWN_PER_CLASS = 100
TEST_SEED = 15


class Mapping(nn.Module):
    """From a latent vector and a class to a style."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, LATENT)
        self.norm = PixelNorm()
        self.layers = nn.Sequential(
            nn.Linear(2 * LATENT, STYLE),
            nn.LeakyReLU(SLOPE),
            nn.Linear(STYLE, STYLE),
            nn.LeakyReLU(SLOPE),
            nn.Linear(STYLE, STYLE),
            nn.LeakyReLU(SLOPE),
        )

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        """(batch, 32) and (batch,) to styles (batch, 48)."""
        parts = [self.norm(latent), self.norm(self.embedding(label))]
        style: Tensor = self.layers(torch.cat(parts, dim=1))
        return style


class StyledLayer(nn.Module):
    """Noise, activation, and normalization by the style."""

    def __init__(self) -> None:
        super().__init__()
        self.noise_strength = nn.Parameter(torch.zeros(1, FEATURES, 1, 1))
        self.norm = AdaptiveInstanceNorm2d(FEATURES, STYLE)

    def forward(self, x: Tensor, noise: Tensor, style: Tensor) -> Tensor:
        """(batch, features, height, width) to the same; noise: (batch, 1, height, width)."""
        styled: Tensor = self.norm(F.leaky_relu(x + self.noise_strength * noise, SLOPE), style)
        return styled


class Generator(nn.Module):
    """A mapping network and a synthesis network of two resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = Mapping()
        self.start = nn.Parameter(torch.randn(1, FEATURES, START, START))
        self.coarse_conv = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.fine_conv1 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.fine_conv2 = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.coarse_layers = nn.ModuleList(StyledLayer() for _ in range(NOISES))
        self.fine_layers = nn.ModuleList(StyledLayer() for _ in range(NOISES))
        self.to_pixels = nn.Conv2d(FEATURES, 1, 1)

    def forward(
        self, latent: Tensor, label: Tensor, coarse_noise: Tensor, fine_noise: Tensor
    ) -> Tensor:
        """Draw digits.

        Args:
            latent: (batch, 32), standard normal.
            label: (batch,) int64 in 0 ... 9, the digits to draw.
            coarse_noise: (batch, 2, 4, 4), standard normal.
            fine_noise: (batch, 2, 8, 8), standard normal.

        Returns:
            Pictures (batch, 1, 8, 8) in [0, 1]; 1 is ink.
        """
        style = self.mapping(latent, label)
        x = self.start.expand(latent.shape[0], -1, -1, -1)
        x = self.coarse_layers[0](x, coarse_noise[:, :1], style)
        x = self.coarse_layers[1](self.coarse_conv(x), coarse_noise[:, 1:], style)
        x = F.interpolate(x, scale_factor=SIDE // START, mode="nearest")
        x = self.fine_layers[0](self.fine_conv1(x), fine_noise[:, :1], style)
        x = self.fine_layers[1](self.fine_conv2(x), fine_noise[:, 1:], style)
        return torch.sigmoid(self.to_pixels(x))


class Discriminator(nn.Module):
    """Tells real digits from drawn ones; only training needs it.

    It judges a picture together with its class by projection (Miyato & Koyama 2018,
    arXiv:1802.05637).
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, FEATURES, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(FEATURES, FEATURES, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            nn.Linear(FEATURES * START**2, STYLE),
            nn.LeakyReLU(SLOPE),
        )
        self.head = nn.Linear(STYLE, 1)
        self.embedding = nn.Embedding(CLASSES, STYLE)

    def forward(self, pixels: Tensor, label: Tensor) -> Tensor:
        """(batch, 1, 8, 8) and (batch,) to logits (batch,); positive means real."""
        features = self.trunk(pixels)
        verdict: Tensor = self.head(features)[:, 0] + (features * self.embedding(label)).sum(dim=1)
        return verdict


def _draw(count: int, generator: torch.Generator) -> Batch:
    source = digits(Split.TRAIN)
    chosen = positions(count, len(source.labels), generator)
    return torch.from_numpy(source.pixels[chosen, None]), torch.from_numpy(source.labels[chosen])


def _draw_inputs(labels: Tensor, generator: torch.Generator) -> Batch:
    count = len(labels)
    return (
        torch.randn(count, LATENT, generator=generator),
        labels,
        torch.randn(count, NOISES, START, START, generator=generator),
        torch.randn(count, NOISES, SIDE, SIDE, generator=generator),
    )


def _real(start: int, items: int) -> tuple[Tensor, ...]:
    """Inputs for the labels of the training split, from `start` on."""
    labels = torch.from_numpy(digits(Split.TRAIN).labels[start : start + items])
    return _draw_inputs(labels, torch.Generator().manual_seed(start))


@cache
def _test_set() -> TestSet:
    """Requests for drawn digits, all classes equally often; the truth is the held-out digits."""
    labels = torch.arange(CLASSES).repeat(DRAWN_PER_CLASS)
    inputs = _draw_inputs(labels, torch.Generator().manual_seed(TEST_SEED))
    named = {name: part.numpy() for name, part in zip(INPUTS, inputs, strict=True)}
    source = digits(Split.TEST)
    return TestSet(
        cut(REQUEST_ITEMS, **named),
        {"drawn_labels": labels.numpy(), "pixels": source.pixels, "labels": source.labels},
    )


def _nearest(pictures: Array, among: Array) -> Array:
    """The position of the nearest of `among` for each picture, by squared distance."""
    flat, others = (part.reshape(len(part), -1).astype(np.float64) for part in (pictures, among))
    products = flat @ others.T
    return np.asarray((np.square(others).sum(axis=1) - 2 * products).argmin(axis=1))


def _classification_score(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    """How well real digits are read by someone who has only seen drawn ones."""
    truth = test_set.targets
    nearest = _nearest(truth["pixels"], gather(outputs, "pixels"))
    return float((truth["drawn_labels"][nearest] == truth["labels"]).mean())


def _likeness(outputs: Sequence[Arrays], test_set: TestSet) -> float:
    """How many drawn digits are nearest to a real digit of the class that was asked for."""
    truth = test_set.targets
    nearest = _nearest(gather(outputs, "pixels"), truth["pixels"])
    return float((truth["labels"][nearest] == truth["drawn_labels"]).mean())


def _class_means(batch: Arrays) -> Arrays:
    source = digits(Split.TRAIN)
    means = [source.pixels[source.labels == digit].mean(axis=0) for digit in range(CLASSES)]
    return {"pixels": np.stack(means)[batch["label"], None]}


SCENE = Scene(
    name="stylegan",
    title="generator that draws digits",
    normalization="InstanceNorm (AdaIN)",
    task="drawing digits of a given class",
    notes=Notes(
        data=SOURCE,
        split=f"{SPLIT} A nearest-neighbour reader that knows only drawn digits reads the held-out "
        "ones (the classification accuracy score of Ravuri & Vinyals 2019, arXiv:1905.10887).",
        licence=LICENCE,
        use="Shows adaptive instance normalization in a network with four inputs of several types. "
        "Draws digits of 8 x 8 pixels.",
        architecture="StyleGAN-like: mapping network of three layers, synthesis at 4 x 4 and 8 x 8 "
        "with 48 channels, noise as input",
    ),
    build=Generator,
    input_names=INPUTS,
    output_names=("pixels",),
    example_inputs=lambda: _real(0, 3),
    reference_inputs=lambda: [_real(3, 1), _real(4, 2), _real(6, 16)],
    dynamic_shapes={name: {0: "batch"} for name in INPUTS},
    test_set=_test_set,
    metric=Metric(
        name="classification accuracy score",
        higher_is_better=True,
        digits=3,
        compute=_classification_score,
    ),
    other_metrics=(
        Metric(
            name="drawn digits whose nearest real digit is of the class asked for",
            higher_is_better=True,
            digits=3,
            compute=_likeness,
        ),
    ),
    baselines={"the mean of each class": _class_means},
    recipe=Adversarial(
        seed=1,
        steps=3000,
        batch_size=32,
        learning_rate=2e-3,
        discriminator=Discriminator,
        draw=_draw,
        draw_inputs=_draw_inputs,
    ),
)
