"""Golden samples: what the untouched model answers in eval mode. Not for: comparing with them."""

from collections.abc import Sequence

import torch

from bundle import Sample, Tolerance
from bundle.comparison import ERROR_MULTIPLE
from exporters.calls import Call
from exporters.eager import Eager, to_numpy
from exporters.verify import Proof

__all__ = ["golden_samples", "sample_tolerances"]

_MOST = 3
_OWN_ERROR = "and that error once more, since a golden sample is torch's own result"


def sample_tolerances(proof: Proof) -> dict[str, Tolerance]:
    """The tolerance of each float output against its golden samples.

    The proof allows a multiple of torch's own error against float64. A golden sample is not the
    float64 reference but torch's own result, which is off by that error itself.
    """
    if not proof.has_reference:
        return dict(proof.tolerances)
    return {
        name: tolerance.widened(tolerance.atol / ERROR_MULTIPLE, _OWN_ERROR)
        for name, tolerance in proof.tolerances.items()
    }


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
