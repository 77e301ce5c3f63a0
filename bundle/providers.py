"""Which execution providers a session may use, and with which options. Opens nothing itself.

ONNX Runtime asked for CUDA on a machine without it returns a working CPU session and a line in the
log. Here a policy is a promise: what it requires is there, or `ProviderUnavailable` says what is.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache

from bundle.errors import ProviderUnavailable
from bundle.runtime import binding, onnxruntime

__all__ = ["CPU", "CUDA", "Provider", "ProviderPolicy", "has_kernel", "resolve"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

Provider = tuple[str, dict[str, str]]
"""A provider's name and its options, as ``InferenceSession`` takes them."""

_CUDA_OPTIONS = {
    # TF32 keeps 10 bits of mantissa: errors of 1e-3 that no float32 tolerance explains.
    "use_tf32": "0",
    # EXHAUSTIVE, the default, benchmarks every new input shape at request time.
    "cudnn_conv_algo_search": "HEURISTIC",
    # Grow by what is asked for, not to the next power of two: several models share one device.
    "arena_extend_strategy": "kSameAsRequested",
}


class ProviderPolicy(StrEnum):
    """Where a model may run.

    ``CPU``: on the CPU. ``CUDA``: on a CUDA device, which must be there; nodes that CUDA has no
    kernel for run on the CPU and the placement says so. ``AUTO``: CUDA where there is one, else
    the CPU.
    """

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


def resolve(
    policy: ProviderPolicy, *, available: Sequence[str] | None = None
) -> tuple[Provider, ...]:
    """The providers of a policy, most wanted first; the CPU is always the last.

    Args:
        policy: what is wanted.
        available: what this machine has; asked of ONNX Runtime when left out.

    Raises:
        ProviderUnavailable: the policy requires a provider that is not there.
    """
    there = tuple(onnxruntime.get_available_providers() if available is None else available)
    if policy is ProviderPolicy.CUDA and CUDA not in there:
        raise ProviderUnavailable(
            f"provider policy 'cuda' requires {CUDA}, and this ONNX Runtime"
            f" ({onnxruntime.__version__}) has {', '.join(there)}; install normserve[gpu] instead"
            " of normserve[cpu] on a machine with a CUDA device, or choose 'cpu' or 'auto'."
        )
    cpu: Provider = (CPU, {})
    if policy is ProviderPolicy.CPU or CUDA not in there:
        return (cpu,)
    return ((CUDA, dict(_CUDA_OPTIONS)), cpu)


def has_kernel(provider: str, op_type: str, *, opset: int, domain: str = "") -> bool:
    """Whether this ONNX Runtime build registers a kernel of the provider for an operator.

    An operator without a kernel runs as its function body where ONNX defines one: more nodes,
    other rounding. Read from the runtime itself, so that a kernel that a later version brings is
    used without a change here.
    """
    ranges = _kernels().get((provider, domain, op_type), ())
    return any(first <= opset <= last for first, last in ranges)


@cache
def _kernels() -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    kernels: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for kernel in binding.get_all_opkernel_def():
        key = (kernel.provider, kernel.domain, kernel.op_name)
        kernels.setdefault(key, []).append(kernel.version_range)
    return kernels
