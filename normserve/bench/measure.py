"""Rounds of load in every form at every concurrency, in turns, and the runtime alone beside them.

Prints nothing. What else the machine does falls on all forms alike, so that ratios hold where
numbers do not.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from normserve.bench.bare import Bare, bare_loop
from normserve.bench.load import Load, generator, measure
from normserve.bench.subject import Asked, Local

__all__ = ["Measured", "Row", "bench", "median", "spread"]

_BARE_S = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one form at one concurrency.

    Attributes:
        form: in which it was asked.
        concurrency: requests at once.
        loads: a round each.
    """

    form: str
    concurrency: int
    loads: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured of one model.

    Attributes:
        model: its name.
        generator: what made the load.
        shared_rows: that requests are computed together with; None where that is not known.
        bare: the runtime alone, a round each; empty where the model is not here.
        rows: forms and concurrencies.
    """

    model: str
    generator: str
    shared_rows: int | None
    bare: tuple[Bare, ...]
    rows: tuple[Row, ...]


def bench(
    name: str,
    asked: Asked,
    *,
    model: Local | None,
    concurrencies: Sequence[int],
    rounds: int,
    seconds: float,
    track: Callable[[Sequence[int]], Iterable[int]],
) -> Measured:
    """Measure.

    Args:
        name: of the model.
        asked: the server.
        model: where it is here, to run it alone.
        concurrencies: requests at once.
        rounds: of everything.
        seconds: of each load.
        track: goes through the rounds and may show how far it is.
    """
    bare: list[Bare] = []
    loads: Mapping[tuple[str, int], list[Load]] = {
        (form, concurrency): [] for concurrency in concurrencies for form in asked.shots
    }
    for _ in track(range(rounds)):
        if model is not None:
            subject = model.subject
            bare.append(
                bare_loop(
                    lambda threads, subject=subject: subject.open(threads=threads).run,  # type: ignore[misc]
                    model.feeds,
                    is_batchable=model.is_batchable,
                    seconds=_BARE_S,
                )
            )
        for (form, concurrency), found in loads.items():
            found.append(
                measure(
                    asked.target,
                    asked.shots[form],
                    concurrency=concurrency,
                    seconds=seconds,
                    processes=asked.processes,
                )
            )
    rows = (Row(form, at_once, tuple(found)) for (form, at_once), found in loads.items())
    return Measured(name, generator(), asked.shared_rows, tuple(bare), tuple(rows))


def median(values: Iterable[float]) -> float:
    """The median; NaN of nothing."""
    found = list(values)
    return statistics.median(found) if found else float("nan")


def spread(values: Iterable[float]) -> float:
    """From the least to the most, as a part of the median."""
    found = list(values)
    return (max(found) - min(found)) / median(found) if found and median(found) else float("nan")
