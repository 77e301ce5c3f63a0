"""How a session is set up beyond its provider and its threads. A value; opens nothing.

The names are those of Triton's backend for ONNX Runtime, where it has the option:
https://github.com/triton-inference-server/onnxruntime_backend, README.md.
"""

from dataclasses import dataclass, fields
from enum import StrEnum

__all__ = ["AS_IT_COMES", "GraphLevel", "SessionTuning"]


class GraphLevel(StrEnum):
    """Which of ONNX Runtime's graph optimizations are made."""

    ALL = "all"
    """The basic and the extended ones, and those of the memory layout."""
    EXTENDED = "extended"
    """The basic ones, and fused operators."""
    BASIC = "basic"
    """Constants are folded, and nodes that do nothing are left out."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTuning:
    """What changes how quick a session is, and may change how it rounds.

    Attributes:
        level: the graph optimizations.
        inter_op_threads: branches of the graph that run at the same time; 1 is one node after
            another, 0 as many as there are cores.
        mem_arena: whether memory on the CPU is kept between runs.
        mem_pattern: whether a run's memory is laid out as that of the last run of the same shapes.
        provider_options: beside the usual ones: provider, name and value.
    """

    level: GraphLevel = GraphLevel.ALL
    inter_op_threads: int = 1
    mem_arena: bool = True
    mem_pattern: bool = True
    provider_options: tuple[tuple[str, str, str], ...] = ()

    def __str__(self) -> str:
        """What differs from `AS_IT_COMES`; empty where nothing does."""
        said = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "provider_options":
                said += [f"{provider} {name} {option}" for provider, name, option in value]
            elif value != field.default:
                said.append(f"{field.name} {str(value).lower()}")
        return ", ".join(said)


AS_IT_COMES = SessionTuning()
"""What is not tuned: every optimization, one node after another."""
