"""Ten times what the server can do, and then: what is answered, what is refused, how quickly.

Requests come at a fixed rate over many connections, whatever becomes of those before them, as long
as connections are free. Clients that turn round as soon as they are refused would ask the oftener
the quicker they are refused, and no server could win.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from serving.scale import Run
from serving.servers import examine, verify, write

from normserve.bench.load import Answers, fire, measure
from normserve.bench.measure import median
from normserve.bench.server import Server, established, normserve
from normserve.bench.shots import HTTP_BINARY, Shot

__all__ = ["Moment", "Overload", "OverloadRound", "measure_overload"]

_TIMES = 10
_REFUSED = 503
_BEFORE = 64
_CALM = 4
_SETTLE_S = 1.0
_STEP_S = 0.1
_WINDOW_S = 0.2
_NORMAL = 1.5


@dataclass(frozen=True, slots=True)
class Moment:
    """A tenth of a second.

    Attributes:
        at_s: when it began; the overload begins at 0.
        good_per_s: answers.
        refused_per_s: 503.
        p50_ms: of the answers; None where there were none.
    """

    at_s: float
    good_per_s: float
    refused_per_s: float
    p50_ms: float | None


@dataclass(frozen=True, slots=True)
class OverloadRound:
    """One overload.

    Attributes:
        peak_per_s: answers at concurrency 64 just before.
        offered_per_s: requests that came.
        good_per_s: answers during the overload.
        accepted_p50_ms: of the answers.
        accepted_p99_ms: of the answers.
        refused_p50_ms: of the refusals.
        refused_p99_ms: of the refusals.
        other: requests that were neither answered nor refused.
        normal_after_s: from the end of the overload until answers to four clients take at most half
            longer than before it.
    """

    peak_per_s: float
    offered_per_s: float
    good_per_s: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    other: int
    normal_after_s: float


@dataclass(frozen=True, slots=True)
class Overload:
    """All rounds.

    Attributes:
        network: that was asked.
        seconds: of each overload.
        rounds: each.
        timeline: of the last round.
    """

    network: str
    seconds: float
    rounds: tuple[OverloadRound, ...]
    timeline: tuple[Moment, ...]


def measure_overload(run: Run) -> Overload:
    """Measure, on the network whose requests are small and whose runs are not."""
    network = "bert" if "bert" in run.scale.networks else run.scale.networks[-1]
    rounds: list[OverloadRound] = []
    timeline: tuple[Moment, ...] = ()
    with tempfile.TemporaryDirectory() as name:
        served = write(Path(name), network)
        examine(served, run)
        with normserve(Path(name), settings=run.settings) as server:
            established(server, network)
            shot = served.shots[HTTP_BINARY]
            verify(server, served, {HTTP_BINARY: shot})
            for number in range(run.scale.rounds):
                run.say(f"round {number + 1} of {run.scale.rounds}")
                measured, timeline = _round(server, shot, run)
                rounds.append(measured)
    return Overload(network, run.scale.overload_seconds, tuple(rounds), timeline)


def _round(server: Server, shot: Shot, run: Run) -> tuple[OverloadRound, tuple[Moment, ...]]:
    target, seconds = server.target, run.scale.overload_seconds
    calm = fire(target, shot, concurrency=_CALM, seconds=run.scale.calm_seconds / 5)
    peak = measure(target, shot, concurrency=_BEFORE, seconds=run.scale.seconds)
    storm = fire(
        target,
        shot,
        concurrency=run.scale.connections,
        seconds=seconds,
        each_per_s=_rate_of_each(server, shot, run, wanted_per_s=_TIMES * peak.per_s),
    )
    after = fire(target, shot, concurrency=_CALM, seconds=run.scale.calm_seconds)
    begin = float(storm.began_s.min())
    inside = storm.where(
        (storm.ended_s > begin + min(_SETTLE_S, seconds / 2)) & (storm.ended_s < begin + seconds)
    )
    good, refused = inside.where(inside.is_good), inside.where(inside.status == _REFUSED)
    span = seconds - min(_SETTLE_S, seconds / 2)
    measured = OverloadRound(
        peak_per_s=peak.per_s,
        offered_per_s=len(inside) / span,
        good_per_s=len(good) / span,
        accepted_p50_ms=good.quantile_ms(0.5),
        accepted_p99_ms=good.quantile_ms(0.99),
        refused_p50_ms=refused.quantile_ms(0.5),
        refused_p99_ms=refused.quantile_ms(0.99),
        other=int(np.count_nonzero(~storm.is_good & (storm.status != _REFUSED))),
        normal_after_s=_normal_after(after, begin + seconds, calm.quantile_ms(0.5)),
    )
    return measured, _timeline((calm, storm, after), begin)


def _rate_of_each(server: Server, shot: Shot, run: Run, *, wanted_per_s: float) -> float:
    """At which all connections together ask so often: found by trying, for those that wait do not.

    The more there are that wait the less often is asked than each of the connections may.
    """
    each_per_s = max(1.0, wanted_per_s / run.scale.connections)
    seconds = 2 * _SETTLE_S
    tried = fire(
        server.target,
        shot,
        concurrency=run.scale.connections,
        seconds=seconds,
        each_per_s=each_per_s,
    )
    second_half = tried.where(tried.ended_s > float(tried.began_s.min()) + seconds / 2)
    found_per_s = len(second_half) / (seconds / 2)
    return max(1.0, each_per_s * wanted_per_s / found_per_s) if found_per_s else each_per_s


def _normal_after(after: Answers, end: float, calm_p50_ms: float) -> float:
    """Seconds until a window of time in which all is good and as quick as before, nearly."""
    for at in np.arange(float(after.began_s.min()), float(after.ended_s.max()), _STEP_S / 2):
        window = after.where((after.ended_s >= at) & (after.ended_s < at + _WINDOW_S))
        is_normal = len(window) and window.is_good.all()
        if is_normal and window.quantile_ms(0.5) <= _NORMAL * calm_p50_ms:
            return float(at - end)
    return float("inf")


def _timeline(phases: tuple[Answers, ...], zero: float) -> tuple[Moment, ...]:
    ended = np.concatenate([phase.ended_s for phase in phases]) - zero
    status = np.concatenate([phase.status for phase in phases])
    took_ms = np.concatenate([phase.took_s for phase in phases]) * 1e3
    moments = []
    for at in np.arange(np.floor(ended.min() / _STEP_S) * _STEP_S, ended.max(), _STEP_S):
        here = (ended >= at) & (ended < at + _STEP_S)
        good = here & (status == 200)
        moments.append(
            Moment(
                at_s=round(float(at), 3),
                good_per_s=float(good.sum() / _STEP_S),
                refused_per_s=float((here & (status == _REFUSED)).sum() / _STEP_S),
                p50_ms=median(took_ms[good]) if good.any() else None,
            )
        )
    return tuple(moments)
