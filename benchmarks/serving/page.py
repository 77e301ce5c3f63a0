"""The page for a person, from what was measured: goals, tables, plots. Measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from serving.goals import load_of, verdicts
from serving.parts import Results
from serving.plots import draw
from serving.records import Record
from serving.servers import NAIVE
from serving.throughput import CONCURRENCIES, OfNetwork

from normserve.bench.measure import median, spread
from normserve.bench.shots import GRPC, HTTP_BINARY, HTTP_JSON

__all__ = ["write_page"]

_INTRODUCTION = """\
# Serving: what it costs, and what it withstands

Made by `make bench-serving`, a run of some twenty minutes. The numbers are this machine's; only
ratios within one run mean something elsewhere. Each is the median of the rounds, in which all that
is compared took turns; the least and the most are in parentheses, and all rounds in
[serving.json](serving.json).

- **Alone** is ONNX Runtime in a loop in one process, without any server: the best of one thread and
  all cores, and of batches of 1 to 64, timed once more for longer. Two batches at once, as a server
  may run them, can be quicker.
- **Naive FastAPI** is the server that tutorials write
  ([naive.py](../../benchmarks/serving/naive.py)): a pydantic body, the session in an executor, by
  `uvicorn naive:app`.
- **NormServe** is `normserve serve` as it comes, which has established at an earlier start which
  requests may share runs.

The load comes from the same cores; h2load needs some 50 µs of processor time for a request. Both
servers log each request, as they do by default, into a file. Every answer was held against the
runtime's before anything was timed. Before the next load, a server has done all that it still
computes for clients that have gone: the naive one does not notice that they have. Networks have
random weights and the shapes of well-known ones. Processor time is that of all of a server's
processes. Memory is theirs too, what they share counted once: the sum of their PSS, if nobody else
ran on the machine."""

_CAPTIONS = {
    "serving_throughput.svg": (
        "Throughput",
        "Concurrency 16. Whiskers: the slowest and the quickest round. Dashed: the runtime alone.",
    ),
    "serving_latency.svg": ("Latency", "Both axes are logarithmic."),
    "serving_overload.svg": (
        "Overload",
        "The last round. Before and after the overload, which is shaded, four clients ask.",
    ),
    "serving_memory.svg": ("Endurance", "The first part of the requests is the warm-up."),
    "serving_scaling.svg": (
        "Scaling",
        "HTTP binary at concurrency 16. Many models: nothing is established in the background.",
    ),
}


def write_page(records: Mapping[str, Record], folder: Path) -> None:
    """Write ``serving.md`` and its plots."""
    results = Results.of(records)
    drawn = draw(results, folder)
    parts = [_INTRODUCTION, "\n".join(_machine(records)), _goals(results)]
    for name in drawn:
        title, caption = _CAPTIONS[name]
        parts.append(f"## {title}\n\n![{title}]({name})\n\n{caption}")
        parts.extend(_TABLES.get(name, lambda _: ())(results))
    parts.append(_measured(records))
    (folder / "serving.md").write_text("\n\n".join(parts) + "\n")


def _machine(records: Mapping[str, Record]) -> Iterator[str]:
    machines = {record.machine.name: record.machine for record in records.values()}
    for name, machine in machines.items():
        versions = ", ".join(
            f"{package} {version}" for package, version in machine.versions.items()
        )
        yield f"Measured on {name}, with {versions}; load by {machine.generator}."


def _goals(results: Results) -> str:
    rows = [
        (each.what, each.goal, each.measured, "yes" if each.is_reached else "**no**")
        for each in verdicts(results)
    ]
    return "## Goals\n\n" + _table(("what", "goal", "measured", "reached"), rows)


def _of_throughput(results: Results) -> Iterator[str]:
    for network in results.throughput.networks if results.throughput else ():
        yield _of_network(network)
    if results.batching is not None:
        rows = [
            (
                network.network,
                str(network.shared_rows),
                row.form,
                str(row.concurrency),
                f"{median(load.per_s for load in row.loads):,.0f}",
                f"{median(load.p50_ms for load in row.loads):.2f}",
                f"{median(load.p99_ms for load in row.loads):.2f}",
            )
            for network in results.batching.networks
            for row in network.rows
        ]
        headings = ("network", "rows that pay", "", "at once", "requests/s", "p50 ms", "p99 ms")
        yield "### Batches\n\n" + _table(headings, rows)


def _of_network(network: OfNetwork) -> str:
    alone = median(each.per_s for each in network.bare)
    rows = []
    for concurrency in CONCURRENCIES:
        reference = median(x.per_s for x in load_of(network.rows, NAIVE, concurrency).loads)
        for form in (NAIVE, HTTP_JSON, HTTP_BINARY, GRPC):
            loads = load_of(network.rows, form, concurrency).loads
            rate = median(load.per_s for load in loads)
            failed = sum(load.failed for load in loads)
            rows.append(
                (
                    form + (f" ({failed} failed)" if failed else ""),
                    str(concurrency),
                    f"{rate:,.0f}",
                    f"{spread(load.per_s for load in loads):.0%}",
                    f"{rate / alone:.2f}",
                    f"{rate / reference:.2f}" if reference else "",
                    f"{median(load.p50_ms for load in loads):.2f}",
                    f"{median(load.p99_ms for load in loads):.2f}",
                    f"{median(load.cpu_ms or 0.0 for load in loads):.3f}",
                )
            )
    best = network.bare[0]
    title = (
        f"### {network.network}: {network.meaning}\n\n{network.request_bytes:,} bytes a request."
        f" Alone: {alone:,.0f}/s ({best.threads} threads, batches of {best.batch});"
        f" one by one {median(each.alone_ms for each in network.bare):.3g} ms. Batches of up to"
        f" {network.shared_rows} rows pay."
    )
    headings = (
        "",
        "at once",
        "requests/s",
        "±",
        "of alone",
        "× naive",
        "p50 ms",
        "p99 ms",
        "CPU ms",
    )
    return f"{title}\n\n{_table(headings, rows)}"


def _of_memory(results: Results) -> Iterator[str]:
    rows = []
    if results.cold is not None:
        rows += [
            ("start to first right answer: runtime alone", _s(results.cold.alone_s)),
            ("naive FastAPI", _s(results.cold.naive_s)),
            ("NormServe, nothing known", _s(results.cold.first_s)),
            ("NormServe, certificate kept", _s(results.cold.again_s)),
        ]
    if results.memory is not None:
        found = results.memory
        rows += [
            ("resident memory: runtime alone", _mib(found.alone_mib)),
            ("naive FastAPI", _mib(found.naive_mib)),
            (f"NormServe, {found.our_processes} processes", _mib(found.ours_mib)),
        ]
    if rows:
        yield "### Start and memory of a small model\n\n" + _table(("", "median"), rows)


def _of_scaling(results: Results) -> Iterator[str]:
    if results.scaling is None:
        return
    rows = [
        (
            str(each.models),
            f"{each.ready_s:.2f}",
            f"{each.resident_mib:.0f}",
            f"{each.alone_mib:.0f}",
            f"{median(each.per_s):,.0f}",
        )
        for each in results.scaling.models
    ]
    headings = ("models", "ready after s", "MiB", "MiB alone", "requests/s to one of them")
    yield _table(headings, rows)


_TABLES = {
    "serving_throughput.svg": _of_throughput,
    "serving_memory.svg": _of_memory,
    "serving_scaling.svg": _of_scaling,
}


def _measured(records: Mapping[str, Record]) -> str:
    rows = [
        (
            name,
            record.when,
            f"{record.seconds:.0f}",
            f"{record.machine.load:.1f}",
            ("failed: " + record.failure if record.failure else "yes")
            + (" (quick: no measure of speed)" if record.is_quick else ""),
        )
        for name, record in records.items()
    ]
    headings = ("part", "when", "seconds", "load of the machine before", "measured")
    return "## What was measured when\n\n" + _table(headings, rows)


def _s(values: Sequence[float]) -> str:
    return f"{median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def _mib(values: Sequence[float]) -> str:
    return f"{median(values):.0f} MiB ({min(values):.0f} to {max(values):.0f})"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
