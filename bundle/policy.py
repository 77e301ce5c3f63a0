"""Where a model may run, and what is allowed there. Decides nothing about what this machine has."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

__all__ = ["CPU", "CUDA", "DEVICE_MEMORY", "OPENVINO", "TENSORRT", "Demand", "ProviderPolicy"]

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"
OPENVINO: Final = "OpenVINOExecutionProvider"

DEVICE_MEMORY: Final = {CUDA: "cuda", TENSORRT: "cuda"}
"""The providers whose tensors are not in the host's memory, and ONNX Runtime's name for theirs."""

_PROVIDERS: Final = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT, "openvino": OPENVINO}
_ANY: Final = "auto"
_PREFER: Final = "prefer:"


class Demand(StrEnum):
    """How much a policy wants its provider."""

    REQUIRE = "require"
    """It is there, it starts, and every heavy node runs on it; anything else is an error."""
    PREFER = "prefer"
    """It runs what it can; what it cannot runs elsewhere, and the placement says so."""
    ANY = "any"
    """The quickest that there is, of those that need no preparation."""


@dataclass(frozen=True, slots=True)
class ProviderPolicy:
    """Where a model may run, and what is allowed there.

    Attributes:
        spelling: ``cpu``, ``cuda``, ``tensorrt`` or ``openvino``, which is required;
            ``prefer:cuda``, ``prefer:tensorrt`` or ``prefer:openvino``; or ``auto``.
        allow_tf32: whether a GPU may round the inputs of products to 10 bits of mantissa.
        cuda_graphs: whether CUDA may record a run and play it again, where shapes are fixed.
        engines: the folder that TensorRT keeps its engines in; None where it builds them at each
            load.

    Raises:
        ValueError: the spelling is none of those.
    """

    spelling: str
    allow_tf32: bool = False
    cuda_graphs: bool = False
    engines: Path | None = None

    CPU: ClassVar["ProviderPolicy"]
    CUDA: ClassVar["ProviderPolicy"]
    AUTO: ClassVar["ProviderPolicy"]

    def __post_init__(self) -> None:
        if self.spelling not in self.spellings():
            raise ValueError(
                f"'{self.spelling}' is no provider policy; there are {', '.join(self.spellings())}."
            )

    @staticmethod
    def spellings() -> tuple[str, ...]:
        """Every policy that there is."""
        preferred = (f"{_PREFER}{name}" for name in _PROVIDERS if name != "cpu")
        return (*_PROVIDERS, *preferred, _ANY)

    @property
    def demand(self) -> Demand:
        """How much the provider is wanted."""
        if self.spelling == _ANY:
            return Demand.ANY
        return Demand.PREFER if self.spelling.startswith(_PREFER) else Demand.REQUIRE

    @property
    def provider(self) -> str:
        """The provider that is wanted most."""
        return _PROVIDERS.get(self.spelling.removeprefix(_PREFER), CUDA)

    @property
    def required(self) -> str | None:
        """The provider that must run every heavy node; None where none must."""
        return self.provider if self.demand is Demand.REQUIRE else None

    def __str__(self) -> str:
        return self.spelling


ProviderPolicy.CPU = ProviderPolicy("cpu")
ProviderPolicy.CUDA = ProviderPolicy("cuda")
ProviderPolicy.AUTO = ProviderPolicy(_ANY)
