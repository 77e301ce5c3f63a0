"""What was to be reached, and what was. Each goal is judged on medians of one run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from serving.batching import OFF, ON
from serving.parts import Results
from serving.servers import NAIVE
from serving.throughput import OfNetwork

from normserve.bench.measure import Row, median
from normserve.bench.shots import GRPC, HTTP_BINARY, HTTP_JSON

__all__ = ["Verdict", "load_of", "table", "verdicts"]

_SLOW_MS = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the table.

    Attributes:
        what: was measured.
        goal: for it.
        measured: what came out, with the spread of the rounds.
        is_reached: whether that is the goal.
    """

    what: str
    goal: str
    measured: str
    is_reached: bool


def verdicts(results: Results) -> list[Verdict]:
    """All that the results allow to say."""
    judges: Sequence[Callable[[Results], Iterator[Verdict]]] = (
        _throughput,
        _decoding,
        _batching,
        _cold,
        _memory,
        _overload,
        _deaths,
        _endurance,
    )
    return [verdict for judge in judges for verdict in judge(results)]


def table(results: Results) -> Table:
    """The verdicts for a terminal."""
    made = Table(box=box.SIMPLE_HEAD)
    for heading in ("what", "goal", "measured", ""):
        made.add_column(heading)
    for verdict in verdicts(results):
        mark = "[green]reached[/]" if verdict.is_reached else "[red]not reached[/]"
        made.add_row(verdict.what, verdict.goal, verdict.measured, mark)
    return made


def load_of(rows: Sequence[Row], form: str, concurrency: int) -> Row:
    """The rounds of one server at one concurrency."""
    return next(row for row in rows if (row.form, row.concurrency) == (form, concurrency))


def _throughput(results: Results) -> Iterator[Verdict]:
    if results.throughput is None:
        return
    for network in results.throughput.networks:
        if median(each.alone_ms for each in network.bare) >= _SLOW_MS:
            yield from _of_slow(network)
        if network.network == "mlp":
            yield from _of_quick(network)


def _of_slow(network: OfNetwork) -> Iterator[Verdict]:
    bare = [each.per_s for each in network.bare]
    alone_ms = median(each.alone_ms for each in network.bare)
    for form, goal in ((HTTP_BINARY, 0.95), (GRPC, 0.95), (HTTP_JSON, 0.8)):
        rates = [load.per_s for load in load_of(network.rows, form, 16).loads]
        ratios = [rate / alone for rate, alone in zip(rates, bare, strict=True)]
        yield _at_least(
            f"{network.network} ({alone_ms:.1f} ms): {form} at concurrency 16, of the best loop of"
            " the runtime alone",
            ratios,
            goal,
        )


def _of_quick(network: OfNetwork) -> Iterator[Verdict]:
    for concurrency in (16, 64):
        theirs = [load.per_s for load in load_of(network.rows, NAIVE, concurrency).loads]
        for form, goal in ((HTTP_JSON, 3.0), (HTTP_BINARY, 3.5)):
            ours = load_of(network.rows, form, concurrency).loads
            ratios = [load.per_s / their for load, their in zip(ours, theirs, strict=True)]
            yield _at_least(
                f"{network.network}: {form} at concurrency {concurrency}, against naive FastAPI",
                ratios,
                goal,
                "×",
            )
    for form in (HTTP_JSON, HTTP_BINARY):
        used = [load.cpu_ms or 0.0 for load in load_of(network.rows, form, 64).loads]
        yield _at_most(
            f"{network.network}: processor time of a request, {form} at concurrency 64",
            used,
            0.12,
            " ms",
        )
    p50 = {
        form: [load.p50_ms for load in load_of(network.rows, form, 1).loads]
        for form in (NAIVE, HTTP_JSON)
    }
    yield _at_most(
        f"{network.network}: p50 at concurrency 1, HTTP JSON, against naive FastAPI",
        [ours / theirs for ours, theirs in zip(p50[HTTP_JSON], p50[NAIVE], strict=True)],
        1.0,
        "×",
    )
    empty = [load.p50_ms for load in network.empty]
    yield _at_most(
        f"{network.network}: p50 at concurrency 1, HTTP JSON, over that of an empty FastAPI route",
        [ours - route for ours, route in zip(p50[HTTP_JSON], empty, strict=True)],
        0.35,
        " ms",
    )


def _decoding(results: Results) -> Iterator[Verdict]:
    if results.decoding is None:
        return
    found = results.decoding
    ratios = [ours / usual for ours, usual in zip(found.ours_ms, found.orjson_ms, strict=True)]
    yield _at_most(
        f"reading {found.body_bytes / 1e6:.1f} MB of JSON (a 602 KB tensor), of orjson and numpy",
        ratios,
        0.25,
    )


def _batching(results: Results) -> Iterator[Verdict]:
    if results.batching is None:
        return
    for network in results.batching.networks:
        pairs = {
            concurrency: list(
                zip(
                    load_of(network.rows, ON, concurrency).loads,
                    load_of(network.rows, OFF, concurrency).loads,
                    strict=True,
                )
            )
            for concurrency in (1, 64)
        }
        yield _at_least(
            f"{network.network}: batches at concurrency 64, against none",
            [on.per_s / off.per_s for on, off in pairs[64]],
            1.5 if network.network == "mlp" else 0.97,
            "×",
        )
        yield _at_most(
            f"{network.network}: p99 at concurrency 1 with batches, against none",
            [on.p99_ms / off.p99_ms for on, off in pairs[1]],
            1.1,
            "×",
        )


def _cold(results: Results) -> Iterator[Verdict]:
    if results.cold is None:
        return
    found = results.cold
    for name, ours in (("nothing known", found.first_s), ("certificate kept", found.again_s)):
        yield _at_most(
            f"start to first right answer ({name}), against naive FastAPI",
            [mine / theirs for mine, theirs in zip(ours, found.naive_s, strict=True)],
            1.0,
            "×",
        )


def _memory(results: Results) -> Iterator[Verdict]:
    if results.memory is None:
        return
    found = results.memory
    yield _at_most(
        "resident memory of all processes, against the runtime alone",
        [ours / bare for ours, bare in zip(found.ours_mib, found.alone_mib, strict=True)],
        2.2,
        "×",
    )


def _overload(results: Results) -> Iterator[Verdict]:
    if results.overload is None:
        return
    rounds = results.overload.rounds
    times = median(each.offered_per_s / each.peak_per_s for each in rounds)
    at = f"{times:.0f}× overload of {results.overload.network}"
    yield _at_least(
        f"{at}: answers, of the peak", [each.good_per_s / each.peak_per_s for each in rounds], 0.9
    )
    yield _at_most(f"{at}: p99 of refusals", [each.refused_p99_ms for each in rounds], 50, " ms")
    yield _at_most(f"{at}: normal after", [each.normal_after_s for each in rounds], 5, " s")
    other = sum(each.other for each in rounds)
    yield Verdict(
        f"{at}: requests neither answered nor refused", "0", str(other), is_reached=not other
    )


def _deaths(results: Results) -> Iterator[Verdict]:
    if results.deaths is None:
        return
    found = results.deaths
    yield Verdict(
        f"{found.kills} SIGKILLs of the model's process under load: failed requests",
        "0",
        f"{found.failed} of {found.requests:,}",
        is_reached=not found.failed,
    )
    yield Verdict(
        "time until it answers again, the longest",
        "≤ 5 s",
        f"{max(found.back_s):.2f} s (median {median(found.back_s):.2f} s)",
        is_reached=max(found.back_s) <= 5,
    )


def _endurance(results: Results) -> Iterator[Verdict]:
    if results.endurance is None:
        return
    held = results.endurance.held
    before, after = held[1], held[-1]
    requests = after.requests - before.requests
    growth = after.resident_mib / before.resident_mib - 1
    at = f"{requests:,} mixed requests"
    yield Verdict(
        f"{at}: growth of resident memory", "< 2 %", f"{growth:+.1%}", is_reached=growth < 0.02
    )
    for name, difference in (
        ("descriptors", after.descriptors - before.descriptors),
        ("threads", after.threads - before.threads),
    ):
        yield Verdict(f"{at}: {name}", "± 0", f"{difference:+d}", is_reached=difference == 0)
    wrong = results.endurance.wrong
    yield Verdict(f"{at}: unexpected statuses", "0", str(wrong), is_reached=not wrong)


def _at_least(what: str, values: Sequence[float], goal: float, unit: str = "") -> Verdict:
    return Verdict(what, f"≥ {goal:g}{unit}", _said(values, unit), median(values) >= goal)


def _at_most(what: str, values: Sequence[float], goal: float, unit: str = "") -> Verdict:
    return Verdict(what, f"≤ {goal:g}{unit}", _said(values, unit), median(values) <= goal)


def _said(values: Sequence[float], unit: str) -> str:
    return f"{median(values):.3g}{unit} ({min(values):.3g} to {max(values):.3g})"
