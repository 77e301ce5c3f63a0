"""How the cost of serving goes with the size of a model, the rows of a request, and many models."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from serving.memory import alone
from serving.networks import sized
from serving.scale import Run
from serving.servers import examine, verify, write

from normserve.bench.bare import bare_loop
from normserve.bench.load import measure
from normserve.bench.server import established, normserve
from normserve.bench.shots import HTTP_BINARY, Shot, Target

__all__ = ["OfModels", "OfRows", "OfSize", "Scaling", "measure_scaling"]

_CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class OfSize:
    """A model of a size.

    Attributes:
        parameters: how many.
        cold_s: from the server's start to the first answer.
        bare_per_s: requests by the runtime alone, a round each.
        per_s: requests by the server, a round each.
        resident_mib: of the server.
    """

    parameters: int
    cold_s: float
    bare_per_s: tuple[float, ...]
    per_s: tuple[float, ...]
    resident_mib: float


@dataclass(frozen=True, slots=True)
class OfRows:
    """Requests of so many rows; rates are rows a second, a round each."""

    rows: int
    bare_per_s: tuple[float, ...]
    per_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OfModels:
    """So many small models in one server.

    Attributes:
        models: how many.
        ready_s: from the server's start until all are ready.
        resident_mib: of the server.
        alone_mib: of one process with all their sessions.
        per_s: requests to one of them, a round each.
    """

    models: int
    ready_s: float
    resident_mib: float
    alone_mib: float
    per_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scaling:
    """All three."""

    network: str
    sizes: tuple[OfSize, ...]
    rows: tuple[OfRows, ...]
    models: tuple[OfModels, ...]


def measure_scaling(run: Run) -> Scaling:
    """Measure."""
    network = "resnet" if "resnet" in run.scale.networks else run.scale.networks[-1]
    return Scaling(
        network,
        tuple(_of_size(parameters, run) for parameters in run.scale.sizes),
        _of_rows(network, run),
        tuple(_of_models(count, run) for count in run.scale.models),
    )


def _of_size(parameters: int, run: Run) -> OfSize:
    run.say(f"a model of {parameters:,} parameters")
    with tempfile.TemporaryDirectory() as name:
        served = write(Path(name), sized(parameters))
        examine(served, run)
        shot = served.shots[HTTP_BINARY]
        bare, rates = [], []
        with normserve(Path(name), first=shot, settings=run.settings) as server:
            verify(server, served, {HTTP_BINARY: shot})
            established(server, served.name)
            for _ in range(run.scale.rounds):
                loop = bare_loop(
                    served.run, {"x": served.row}, is_batchable=True, seconds=run.scale.bare_seconds
                )
                bare.append(loop.per_s)
                rates.append(_rate(server.target, shot, run))
            resident_mib = server.processes.resident_mib()
        return OfSize(parameters, server.cold_s, tuple(bare), tuple(rates), resident_mib)


def _of_rows(network: str, run: Run) -> tuple[OfRows, ...]:
    found = []
    with ExitStack() as stack:
        folders = {
            rows: Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for rows in run.scale.rows
        }
        asked = {rows: write(folder, network, rows=rows) for rows, folder in folders.items()}
        examine(asked[run.scale.rows[0]], run)
        server = stack.enter_context(normserve(next(iter(folders.values())), settings=run.settings))
        established(server, network)
        for rows, served in asked.items():
            run.say(f"requests of {rows} rows")
            shot = served.shots[HTTP_BINARY]
            verify(server, served, {HTTP_BINARY: shot})
            bare, rates = [], []
            for _ in range(run.scale.rounds):
                loop = bare_loop(
                    served.run, {"x": served.row}, is_batchable=True, seconds=run.scale.bare_seconds
                )
                bare.append(loop.per_s * rows)
                rates.append(_rate(server.target, shot, run) * rows)
            found.append(OfRows(rows, tuple(bare), tuple(rates)))
    return tuple(found)


def _of_models(count: int, run: Run) -> OfModels:
    run.say(f"{count} models")
    with tempfile.TemporaryDirectory() as name:
        models = [write(Path(name), "mlp", name=f"m{number}") for number in range(count)]
        with alone([served.path for served in models]) as tree:
            alone_mib = tree.resident_mib()
        with normserve(Path(name), settings=run.settings) as server:
            for served in models:
                verify(server, served, {HTTP_BINARY: served.shots[HTTP_BINARY]})
            resident_mib = server.processes.resident_mib()
            shot = models[-1].shots[HTTP_BINARY]
            rates = tuple(_rate(server.target, shot, run) for _ in range(run.scale.rounds))
    return OfModels(count, server.cold_s, resident_mib, alone_mib, rates)


def _rate(target: Target, shot: Shot, run: Run) -> float:
    load = measure(target, shot, concurrency=_CONCURRENCY, seconds=run.scale.seconds / 2)
    return load.per_s
