"""Golden samples: what the untouched model answers in eval mode. Not for: comparing with them."""

from collections.abc import Sequence

import torch

from bundle import Sample
from exporters.calls import Call
from exporters.eager import Eager, to_numpy

__all__ = ["golden_samples"]

_MOST = 3


def golden_samples(
    eager: Eager,
    call: Call,
    example: Sequence[torch.Tensor],
    references: Sequence[Sequence[torch.Tensor]],
) -> tuple[Sample, ...]:
    """A few inputs with torch's answers: reference inputs where there are any, else the example."""
    chosen = list(references[:_MOST]) or [example]
    return tuple(
        Sample(
            inputs={n: to_numpy(t) for n, t in zip(call.names, tensors, strict=True)},
            outputs=eager.run(tensors),
        )
        for tensors in chosen
    )
