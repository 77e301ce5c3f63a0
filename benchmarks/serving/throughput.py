"""Throughput, latency and processor time of each server over concurrency, and the runtime alone.

The servers take turns within each round, so that what else the machine does falls on all of them.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from serving.networks import NETWORKS
from serving.scale import Run
from serving.servers import EMPTY, NAIVE, examine, naive, naive_shot, verify, write

from normserve.bench.bare import Bare, bare_loop
from normserve.bench.load import Load, measure
from normserve.bench.measure import Row
from normserve.bench.server import established, normserve

__all__ = ["CONCURRENCIES", "OfNetwork", "Throughput", "measure_throughput"]

CONCURRENCIES = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class OfNetwork:
    """One network.

    Attributes:
        network: its name.
        meaning: what it stands for.
        request_bytes: of its inputs.
        shared_rows: that requests are computed together with.
        bare: the runtime alone, the best loop of each round.
        rows: each server at each concurrency.
        empty: the naive server's route that does nothing, one request at a time.
    """

    network: str
    meaning: str
    request_bytes: int
    shared_rows: int
    bare: tuple[Bare, ...]
    rows: tuple[Row, ...]
    empty: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class Throughput:
    """All networks."""

    networks: tuple[OfNetwork, ...]


def measure_throughput(run: Run) -> Throughput:
    """Measure every network of the scale."""
    return Throughput(tuple(_measure(network, run) for network in run.scale.networks))


def _measure(network: str, run: Run) -> OfNetwork:
    seconds = run.scale.seconds_of(network)
    with ExitStack() as stack:
        run.say(f"{network}: starting the servers")
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = write(repository, network)
        examine(served, run)
        ours = stack.enter_context(normserve(repository, settings=run.settings))
        shared_rows = established(ours, network)
        theirs = stack.enter_context(naive(served))
        entries = {NAIVE: (theirs, naive_shot(served))}
        entries |= {form: (ours, shot) for form, shot in served.shots.items()}
        for form, (server, shot) in entries.items():
            verify(server, served, {form: shot})
        bare: list[Bare] = []
        empty: list[Load] = []
        loads: dict[tuple[str, int], list[Load]] = {
            (form, concurrency): [] for concurrency in CONCURRENCIES for form in entries
        }
        for number in range(run.scale.rounds):
            run.say(f"{network}: round {number + 1} of {run.scale.rounds}")
            bare.append(
                bare_loop(
                    served.run, {"x": served.row}, is_batchable=True, seconds=run.scale.bare_seconds
                )
            )
            empty.append(measure(theirs.target, EMPTY, concurrency=1, seconds=min(seconds, 0.5)))
            for (form, concurrency), found in loads.items():
                server, shot = entries[form]
                found.append(
                    measure(
                        server.target,
                        shot,
                        concurrency=concurrency,
                        seconds=seconds,
                        processes=server.processes,
                    )
                )
    rows = (Row(form, at_once, tuple(found)) for (form, at_once), found in loads.items())
    return OfNetwork(
        network,
        NETWORKS[network].meaning,
        served.row.nbytes,
        shared_rows,
        tuple(bare),
        tuple(rows),
        tuple(empty),
    )
