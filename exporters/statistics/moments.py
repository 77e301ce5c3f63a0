"""Mean and variance of each channel over many batches, exactly, and how far they can be trusted.

Not for: which layer's inputs, or what the numbers are compared with.

Rows of a batch are independent draws; the positions of one row are not (neighbouring pixels look
alike). So sampling errors are computed from the spread between rows, which holds whatever the
correlation within them: between σ/√(rows · positions) where there is none and σ/√rows where all
positions of a row are equal.
"""

from dataclasses import dataclass

import torch

__all__ = ["Moments", "RowMoments"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Pooled statistics of the channels of a layer's input; tensors are (channels,) float64.

    Attributes:
        mean: of all elements.
        variance: of all elements, unbiased; for an instance norm the mean variance of an instance.
        mean_error: the standard error of the mean, from the spread between rows.
        variance_error: the same of the variance.
        rows: how many there were.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    mean_error: torch.Tensor
    variance_error: torch.Tensor
    rows: int


class RowMoments:
    """Collects the moments of single rows, from which those of all are computed without loss.

    The pooled variance is that of all elements about the mean of all, not the average of the
    batches' variances, which leaves out how far the batches' means are apart.
    """

    def __init__(self, channels: int, *, per_instance: bool) -> None:
        self._channels = channels
        self._per_instance = per_instance
        self._counts: list[torch.Tensor] = []
        self._means: list[torch.Tensor] = []
        self._squares: list[torch.Tensor] = []

    def add(self, x: torch.Tensor, rows: int) -> bool:
        """Take in the input of one call.

        Args:
            x: (batch, channels, ...), or (batch, ..., channels) where axis 1 does not fit.
            rows: of the model's batch. A layer may see more, as when tokens or windows are folded
                into its batch axis; those of one row are then kept together. Where they do not
                divide what it sees, and with 0, each of those is a row.

        Returns:
            Whether it was taken: there must be elements, and an axis of as many channels.
        """
        axes = (a for a in (1, x.ndim - 1) if 0 < a < x.ndim and x.shape[a] == self._channels)
        axis = next(axes, None)
        if axis is None or not x.numel():
            return False
        values = x.detach().double().movedim(axis, 1).reshape(len(x), self._channels, -1)
        if not self._per_instance and rows and len(x) % rows == 0:
            values = values.reshape(rows, -1, self._channels, values.shape[2])
            values = values.transpose(1, 2).flatten(2)
        mean = values.mean(2)
        self._means.append(mean)
        self._squares.append((values - mean[:, :, None]).square().sum(2))
        self._counts.append(torch.full((len(values), 1), values.shape[2], dtype=torch.float64))
        return True

    def pooled(self) -> Moments | None:
        """The statistics of everything so far; None where there was nothing."""
        if not self._means:
            return None
        counts, means = torch.cat(self._counts), torch.cat(self._means)
        squares = torch.cat(self._squares)
        rows, total = len(means), counts.sum()
        if self._per_instance:
            weights = torch.full_like(counts, 1.0 / rows)
            mean = (weights * means).sum(0)
            of_rows = squares / (counts - 1).clamp(min=1)
            variance = (weights * of_rows).sum(0)
        else:
            weights = counts / total
            mean = (weights * means).sum(0)
            of_rows = squares / counts + (means - mean).square()
            variance = (weights * of_rows).sum(0) * (total / (total - 1).clamp(min=1))
        return Moments(
            mean=mean,
            variance=variance,
            mean_error=_standard_error(weights, means - mean),
            variance_error=_standard_error(weights, of_rows - variance),
            rows=rows,
        )


def _standard_error(weights: torch.Tensor, deviations: torch.Tensor) -> torch.Tensor:
    """Of a weighted mean over rows: (rows, 1) and (rows, channels) to (channels,)."""
    rows = len(weights)
    if rows < 2:
        return torch.full_like(deviations[0], torch.inf)
    return ((weights * deviations).square().sum(0) * rows / (rows - 1)).sqrt()
