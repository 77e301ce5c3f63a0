"""How much is measured: the whole, in some twenty minutes, or the least that runs every line."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["FULL", "QUICK", "Run", "Scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything.

    Attributes:
        rounds: of each comparison; medians and spreads are over these.
        seconds: of each load.
        networks: that are served.
        slow_seconds: of each load on a network of tens of milliseconds.
        bare_seconds: of each loop of the runtime alone.
        decodings: of the JSON request, each round.
        overload_seconds: of each overload.
        calm_seconds: of load by four clients, after each overload.
        connections: during the overload.
        kills: of a model's process.
        mixed_requests: of the endurance run, all together.
        samples: of memory during it.
        sizes: of networks by their parameters, for scaling.
        rows: of a request, for scaling.
        models: in a repository, for scaling.
    """

    rounds: int = 5
    seconds: float = 1.0
    networks: tuple[str, ...] = ("mlp", "resnet", "bert", "resnet50")
    slow_seconds: float = 2.5
    bare_seconds: float = 0.15
    decodings: int = 5
    overload_seconds: float = 4.0
    calm_seconds: float = 5.0
    connections: int = 600
    kills: int = 20
    mixed_requests: int = 100_000
    samples: int = 10
    sizes: tuple[int, ...] = (10_000, 1_000_000, 10_000_000)
    rows: tuple[int, ...] = (1, 4, 16, 64)
    models: tuple[int, ...] = (1, 10, 100)

    def seconds_of(self, network: str) -> float:
        """Of each load on that network."""
        return self.slow_seconds if network == "resnet50" else self.seconds


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark.

    Attributes:
        scale: how much is measured.
        certificates: a folder in which servers keep what they establish, so that each network is
            examined once.
        say: is told what is being done.
    """

    scale: Scale
    certificates: Path
    say: Callable[[str], None]

    @property
    def settings(self) -> dict[str, object]:
        """Of each server that is measured: it knows what was established, and examines nothing."""
        return {"consistency_cache": self.certificates, "consistency_at_load": "false"}


FULL: Final = Scale()

QUICK: Final = Scale(
    rounds=1,
    seconds=0.3,
    networks=("mlp",),
    slow_seconds=0.3,
    bare_seconds=0.01,
    decodings=1,
    overload_seconds=0.5,
    calm_seconds=0.5,
    connections=400,
    kills=1,
    mixed_requests=400,
    samples=1,
    sizes=(1000,),
    rows=(1, 4),
    models=(1, 2),
)
