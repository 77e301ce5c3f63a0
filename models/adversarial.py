"""The recipe of the generator: two networks against each other."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.recipe import Batch, reproducible
from models.scene import Progress

BETAS = (0.0, 0.99)
PENALTY = 0.3
"""The weight of the gradient penalty."""
MEMORY = 0.998
"""How slowly the averaged generator, which is the one that is kept, follows the trained one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversarial:
    """A non-saturating GAN (Goodfellow et al. 2014) with the R1 penalty (Mescheder et al. 2018).

    The generator that is kept is a moving average of the trained one (Karras et al. 2018).
    """

    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    discriminator: Callable[[], nn.Module]
    """A fresh network (pixels, label) -> logits (batch,)."""
    draw: Callable[[int, torch.Generator], Batch]
    """Draw real pictures and their labels."""
    draw_inputs: Callable[[Tensor, torch.Generator], Batch]
    """Draw the generator's inputs for the given labels."""

    def fit(self, model: nn.Module, *, steps: int, progress: Progress) -> tuple[float, ...]:
        """Train the generator `model` in place and return the distance of each step's batch.

        The loss of a GAN says little; what is returned is the squared distance between the mean
        real and the mean drawn picture.
        """
        distances = []
        with reproducible(self.seed) as generator:
            judge = self.discriminator()
            student = deepcopy(model).train()
            teach = torch.optim.Adam(student.parameters(), lr=self.learning_rate, betas=BETAS)
            learn = torch.optim.Adam(judge.parameters(), lr=self.learning_rate, betas=BETAS)
            schedules = [
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
                for optimizer in (teach, learn)
            ]
            for step in range(1, steps + 1):
                real, labels = self.draw(self.batch_size, generator)
                drawn = student(*self.draw_inputs(labels, generator))
                _descend(learn, _judge_loss(judge, real, drawn.detach(), labels))
                _descend(teach, F.softplus(-judge(drawn, labels)).mean())
                with torch.no_grad():
                    averaged = zip(model.parameters(), student.parameters(), strict=True)
                    for mine, new in averaged:
                        mine.lerp_(new, max(1 - MEMORY, 1 / step))
                    distance = (real.mean(dim=0) - drawn.mean(dim=0)).square().mean().item()
                for schedule in schedules:
                    schedule.step()
                distances.append(distance)
                progress.update(step, steps, f"distance of the means {distance:.5f}")
        model.eval()
        return tuple(distances)


def _judge_loss(judge: nn.Module, real: Tensor, drawn: Tensor, labels: Tensor) -> Tensor:
    """The logistic loss, and the squared gradient at real pictures."""
    pictures = real.detach().requires_grad_()
    verdict = judge(pictures, labels)
    (gradient,) = torch.autograd.grad(verdict.sum(), pictures, create_graph=True)
    penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
    fooled = F.softplus(judge(drawn, labels)).mean()
    return F.softplus(-verdict).mean() + fooled + PENALTY / 2 * penalty


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
