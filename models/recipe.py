"""Train a network reproducibly. What is learned, and from what, is each scene's own.

The generator has a recipe of another kind, `models.adversarial`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.scene import Progress

Batch = tuple[Tensor, ...]

THREADS = 1
"""The order in which sums are added up depends on the number of threads, so it is a constant.
One, because a second one gains little on networks of this size."""

WARM_UP = 0.1
"""The part of the steps in which the learning rate rises; then it falls along a cosine."""


@contextmanager
def reproducible(seed: int) -> Iterator[torch.Generator]:
    """Seed torch, allow it deterministic algorithms only, and put everything back afterwards.

    Yields:
        A generator for the data, independent of the one that draws weights and dropout masks.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield torch.Generator().manual_seed(seed)
        finally:
            torch.use_deterministic_algorithms(mode=deterministic)
            torch.set_num_threads(threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on batches drawn from a training split."""

    seed: int
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    draw: Callable[[int, torch.Generator], Batch]
    """Draw a batch of so many items from the training split."""
    loss: Callable[[nn.Module, Batch], Tensor]
    """The scalar to make small."""

    def fit(self, model: nn.Module, *, steps: int, progress: Progress) -> tuple[float, ...]:
        """Train `model` in place and return the loss of every step."""
        losses = []
        with reproducible(self.seed) as generator:
            optimizer = torch.optim.AdamW(
                model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
            )
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.learning_rate, total_steps=steps + 1, pct_start=WARM_UP
            )
            model.train()
            for step in range(1, steps + 1):
                loss = self.loss(model, self.draw(self.batch_size, generator))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                progress.update(step, steps, f"loss {losses[-1]:.4f}")
        model.eval()
        return tuple(losses)
