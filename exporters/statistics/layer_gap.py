"""The part of each normalization layer in the gap between the modes. Draws no batches itself.

Each layer is looked at by itself: it gets the input that it has in the network's eval mode, once in
each mode. So a layer's number is its own and not that of the layers before it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bundle.document import Document
from exporters.statistics.distance import distance
from exporters.statistics.moments import Moments, RowMoments
from exporters.statistics.tracked import Tracked
from exporters.statistics.twin import Twin

__all__ = ["LayerGap", "LayerGaps"]


class LayerGap(Document):
    """One normalization layer; tuples have an entry for each batch size.

    Attributes:
        layer: its qualified name.
        kind: its class.
        distances: of its output in training mode from that in eval mode on the same input, relative
            to the size of the latter; the root mean square over the batches.
        mean_distances: of the batch's mean from the running one, in units of √(σ² + ε), the root
            mean square over channels and batches; empty without running statistics.
        variance_distances: the same of the logarithm of the variances' ratio.
        expected_means: what `mean_distances` would be if the calibration data's own statistics were
            the running ones: sampling alone.
        expected_variances: the same of `variance_distances`.
    """

    layer: str
    kind: str
    distances: tuple[float, ...]
    mean_distances: tuple[float, ...] = ()
    variance_distances: tuple[float, ...] = ()
    expected_means: tuple[float, ...] = ()
    expected_variances: tuple[float, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether its output differed between the modes."""
        return any(found > 0 for found in self.distances)


class LayerGaps:
    """Watches the layers of a twin while it runs in eval mode.

    Args:
        twin: the model.
        tracked: its layers with running statistics, by name.
        moments: of their inputs over all calibration data, by name.
    """

    def __init__(
        self, twin: Twin, tracked: Mapping[str, Tracked], moments: Mapping[str, Moments]
    ) -> None:
        self._twin = twin
        self._tracked = tracked
        self._moments = moments
        self._squares: dict[tuple[str, int], list[float]] = {}
        self._means: dict[tuple[str, int], list[float]] = {}
        self._variances: dict[tuple[str, int], list[float]] = {}
        self._of_batch: dict[str, tuple[list[float], RowMoments | None]] = {}

    def see(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Run a layer that was just called once more, in training mode."""
        distances, moments = self._of_batch.setdefault(name, ([], self._new_moments(name)))
        x = next(iter((*args, *kwargs.values())), None)
        if moments is not None and isinstance(x, torch.Tensor):
            moments.add(x, 0)
        with self._twin.training(name):
            # not the layer itself: its hooks are those that called this
            trained = self._twin.layers[name].forward(*args, **kwargs)
        if isinstance(trained, torch.Tensor) and isinstance(output, torch.Tensor):
            distances.append(distance(trained, output))

    def finish_batch(self, size: int) -> None:
        """Take note of what was seen since the last batch."""
        for name, (distances, collected) in self._of_batch.items():
            key = name, size
            self._squares.setdefault(key, []).extend(found**2 for found in distances)
            pooled = None if collected is None else collected.pooled()
            if pooled is None:
                continue
            layer = self._tracked[name]
            ratios = (pooled.variance + layer.epsilon) / layer.deviation.square()
            means = (pooled.mean - layer.mean) / layer.deviation
            self._means.setdefault(key, []).append(float(means.square().mean()))
            self._variances.setdefault(key, []).append(float(ratios.log().square().mean()))
        self._of_batch.clear()

    def result(self, sizes: Sequence[int]) -> tuple[LayerGap, ...]:
        """Every layer that ran, with an entry for each of the sizes."""
        seen = {name for name, _ in self._squares}
        return tuple(
            LayerGap(
                layer=name,
                kind=type(module).__name__,
                distances=_root_means(self._squares, name, sizes),
                mean_distances=_root_means(self._means, name, sizes),
                variance_distances=_root_means(self._variances, name, sizes),
                **self._expected(name, sizes),
            )
            for name, module in self._twin.layers.items()
            if name in seen
        )

    def _new_moments(self, name: str) -> RowMoments | None:
        layer = self._tracked.get(name)
        if layer is None:
            return None
        return RowMoments(len(layer.mean), per_instance=layer.per_instance)

    def _expected(self, name: str, sizes: Sequence[int]) -> dict[str, tuple[float, ...]]:
        """From the standard errors over all rows, those of a batch of each size."""
        moments = self._moments.get(name)
        if moments is None:
            return {}
        layer = self._tracked[name]
        mean = moments.mean_error / layer.deviation
        variance = moments.variance_error / (moments.variance + layer.epsilon)
        mean_of_one, variance_of_one = (
            float(errors.square().mean().sqrt()) * math.sqrt(moments.rows)
            for errors in (mean, variance)
        )
        return {
            "expected_means": tuple(mean_of_one / math.sqrt(size) for size in sizes),
            "expected_variances": tuple(variance_of_one / math.sqrt(size) for size in sizes),
        }


def _root_means(
    squares: Mapping[tuple[str, int], Sequence[float]], name: str, sizes: Sequence[int]
) -> tuple[float, ...]:
    found = [squares.get((name, size), ()) for size in sizes]
    if not any(found):
        return ()
    return tuple(math.sqrt(sum(s) / len(s)) if s else 0.0 for s in found)
