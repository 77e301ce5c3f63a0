"""The parts of the benchmark by name, each with what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter
from serving.batching import Batching, measure_batching
from serving.cold import Cold, measure_cold
from serving.deaths import Deaths, measure_deaths
from serving.decoding import Decoding, measure_decoding
from serving.endurance import Endurance, measure_endurance
from serving.memory import Memory, measure_memory
from serving.overload import Overload, measure_overload
from serving.records import Record
from serving.scale import Run
from serving.scaling import Scaling, measure_scaling
from serving.throughput import Throughput, measure_throughput

__all__ = ["PARTS", "Part", "Results"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        measure: gives the result.
        kind: the dataclass that the result is.
    """

    measure: Callable[[Run], Any]
    kind: type


PARTS: Final[Mapping[str, Part]] = {
    "decoding": Part(measure_decoding, Decoding),
    "cold": Part(measure_cold, Cold),
    "memory": Part(measure_memory, Memory),
    "throughput": Part(measure_throughput, Throughput),
    "batching": Part(measure_batching, Batching),
    "overload": Part(measure_overload, Overload),
    "deaths": Part(measure_deaths, Deaths),
    "endurance": Part(measure_endurance, Endurance),
    "scaling": Part(measure_scaling, Scaling),
}
"""In the order in which they are measured."""


@dataclass(frozen=True, slots=True)
class Results:
    """The results of the parts that have one."""

    decoding: Decoding | None = None
    cold: Cold | None = None
    memory: Memory | None = None
    throughput: Throughput | None = None
    batching: Batching | None = None
    overload: Overload | None = None
    deaths: Deaths | None = None
    endurance: Endurance | None = None
    scaling: Scaling | None = None

    @classmethod
    def of(cls, records: Mapping[str, Record]) -> "Results":
        """From what was written."""
        return cls(
            **{
                name: TypeAdapter(PARTS[name].kind).validate_python(record.result)
                for name, record in records.items()
                if record.result is not None
            }
        )
