"""Which execution providers a session is asked for. Opens nothing itself.

ONNX Runtime asked for CUDA on a machine without it returns a working CPU session and a line in the
log. Here a policy is a promise: what it requires is there, or `ProviderUnavailable` says what is.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

from bundle.errors import ProviderUnavailable
from bundle.policy import CPU, CUDA, OPENVINO, TENSORRT, Demand, ProviderPolicy
from bundle.provider_options import options_of
from bundle.runtime import binding, onnxruntime

__all__ = [
    "CPU",
    "CUDA",
    "OPENVINO",
    "TENSORRT",
    "Demand",
    "Provider",
    "ProviderPolicy",
    "available_providers",
    "has_kernel",
    "resolve",
]

Provider = tuple[str, dict[str, str]]
"""A provider's name and its options, as ``InferenceSession`` takes them."""

_BEHIND: Final = {TENSORRT: (CUDA, CPU), CUDA: (CPU,), OPENVINO: (CPU,), CPU: ()}
"""What runs the nodes that a provider does not take."""

_EXTRAS: Final = {
    CUDA: "normserve[gpu] on a machine with a CUDA device",
    TENSORRT: "normserve[gpu] and TensorRT on a machine with a CUDA device",
    OPENVINO: "normserve[openvino]",
}


def resolve(
    policy: ProviderPolicy, *, available: Sequence[str] | None = None, threads: int = 1
) -> tuple[Provider, ...]:
    """The providers of a policy, most wanted first; the CPU is always the last.

    Args:
        policy: what is wanted.
        available: what this machine has; asked of ONNX Runtime when left out.
        threads: of one run; 0 leaves it to the provider.

    Raises:
        ProviderUnavailable: the policy requires a provider that is not there.
    """
    there = available_providers() if available is None else tuple(available)
    required = policy.required
    if required is not None and required not in (*there, CPU):
        raise ProviderUnavailable(
            f"provider policy '{policy}' requires {required}, and this ONNX Runtime"
            f" ({onnxruntime.__version__}) has {', '.join(there)}; install {_EXTRAS[required]}"
            f" instead of normserve[cpu], or choose 'cpu', 'prefer:{policy}' or 'auto'."
        )
    wanted = (policy.provider, *_BEHIND[policy.provider])
    return tuple(
        (name, options_of(name, policy, threads=threads))
        for name in wanted
        if name == CPU or name in there
    )


def available_providers() -> tuple[str, ...]:
    """What this build of ONNX Runtime has; whether it starts is another question."""
    return tuple(onnxruntime.get_available_providers())


def has_kernel(provider: str, op_type: str, *, opset: int, domain: str = "") -> bool:
    """Whether this ONNX Runtime build registers a kernel of the provider for an operator.

    An operator without a kernel runs as its function body where ONNX defines one: more nodes,
    other rounding. Read from the runtime itself, so that a kernel that a later version brings is
    used without a change here. A build with OpenVINO ends the process when it is asked
    (onnxruntime-openvino 1.24.1), so that nothing is known of its kernels.
    """
    ranges = _kernels().get((provider, domain, op_type), ())
    return any(first <= opset <= last for first, last in ranges)


@cache
def _kernels() -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    kernels: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    if OPENVINO in available_providers():
        return kernels
    for kernel in binding.get_all_opkernel_def():
        key = (kernel.provider, kernel.domain, kernel.op_name)
        kernels.setdefault(key, []).append(kernel.version_range)
    return kernels
