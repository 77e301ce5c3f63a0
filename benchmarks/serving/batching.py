"""What batches do: the same server with and without them, for many requests and for one."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from serving.scale import Run
from serving.servers import examine, verify, write

from normserve.bench.load import Load, measure
from normserve.bench.measure import Row
from normserve.bench.server import established, normserve
from normserve.bench.shots import HTTP_BINARY

__all__ = ["OFF", "ON", "Batched", "Batching", "measure_batching"]

ON, OFF = "batches", "no batches"
_CONCURRENCIES = (1, 64)


@dataclass(frozen=True, slots=True)
class Batched:
    """One network.

    Attributes:
        network: its name.
        shared_rows: of a batch at most, as the server has found to pay; 1 is no batches.
        rows: with and without batches, at each concurrency.
    """

    network: str
    shared_rows: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Batching:
    """All networks."""

    networks: tuple[Batched, ...]


def measure_batching(run: Run) -> Batching:
    """Measure every network of the scale."""
    return Batching(tuple(_measure(network, run) for network in run.scale.networks))


def _measure(network: str, run: Run) -> Batched:
    with ExitStack() as stack:
        run.say(f"{network}: starting the servers")
        repository = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = write(repository, network)
        examine(served, run)
        with_batches = stack.enter_context(normserve(repository, settings=run.settings))
        shared_rows = established(with_batches, network)
        without = stack.enter_context(
            normserve(repository, settings=run.settings | {"max_batch_rows": 1})
        )
        established(without, network)
        shot = served.shots[HTTP_BINARY]
        servers = {ON: with_batches, OFF: without}
        for server in servers.values():
            verify(server, served, {HTTP_BINARY: shot})
        loads: dict[tuple[str, int], list[Load]] = {
            (name, concurrency): [] for concurrency in _CONCURRENCIES for name in servers
        }
        for number in range(run.scale.rounds):
            run.say(f"{network}: round {number + 1} of {run.scale.rounds}")
            for (name, concurrency), found in loads.items():
                server = servers[name]
                found.append(
                    measure(
                        server.target,
                        shot,
                        concurrency=concurrency,
                        seconds=run.scale.seconds_of(network),
                        processes=server.processes,
                    )
                )
    rows = (Row(name, at_once, tuple(found)) for (name, at_once), found in loads.items())
    return Batched(network, shared_rows, tuple(rows))
