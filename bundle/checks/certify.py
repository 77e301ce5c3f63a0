"""The batch certificate: does a row's answer depend on its neighbours, its place, the batch's size?

Two kinds of evidence are put together: the static scan (`bundle.checks.reach`) and trials
(`bundle.checks.trials`). Either is enough to refuse; both are needed to allow. Where the scan
cannot reason about an operator, the trials decide, and the certificate says so.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bundle.certificate import BatchCertificate, Standing, Verdict
from bundle.checks.batch import BatchRange, NotBatchable, batch_of
from bundle.checks.device import device_of, runtime
from bundle.checks.reach import Independence, examine
from bundle.checks.rounding import rounding_tolerances
from bundle.checks.rows import Pool, pools
from bundle.checks.subject import Subject
from bundle.checks.trials import POOL_ROWS, SIZES, Answers, Trials, run_trials, solo
from bundle.comparison import Tolerance
from bundle.errors import InputInvalid, ModelInvalid
from bundle.opener import OpenModel

__all__ = ["certify"]

_SECONDS = 2.0
_SCAN_ROWS = (5, 3)
"""Two sizes of the batch that the scan follows: coprime, and neither divides by two."""


def certify(subject: Subject, *, seconds: float = _SECONDS) -> BatchCertificate:
    """Find out whether rows of different requests may share a batch.

    Args:
        subject: the model, with real inputs if there are any.
        seconds: what trials may take. A large model is tried in fewer batches; the certificate
            lists which.

    Raises:
        ModelInvalid: ONNX Runtime refuses the model.
        ProviderUnavailable: the policy requires a provider that is not there.
        RunFailed: the model failed while it ran, for a reason that is not its input.
    """
    opened = subject.open()
    facts: dict[str, Any] = {
        "model_sha256": subject.sha256(),
        "runtime": runtime(),
        "provider": opened.provider,
        "device": device_of(opened.provider),
        "threads": subject.threads,
        "tuning": str(subject.tuning),
        "created": datetime.now(UTC),
    }
    scan: Independence | None = None
    try:
        batch = batch_of(subject, opened.inputs)
        found = _pools(subject, opened, batch)
        scan = _scan(subject, found[0], batch)
        tried = _alone(opened, found, seconds)
        facts["tolerances"] = _tolerances(subject, tried)
        trials = run_trials(
            opened,
            tried,
            sizes=[size for size in SIZES if batch.allows(size)],
            tolerances=facts["tolerances"],
            thorough=scan.standing is Standing.UNKNOWN,
            seconds=seconds,
            seed=subject.seed,
        )
    except NotBatchable as err:
        return BatchCertificate(
            **facts, **_scanned(scan), verdict=Verdict.NOT_BATCHABLE, reason=_refusal(err, scan)
        )
    verdict, reason = _decide(scan, trials)
    return BatchCertificate(
        **facts,
        **_scanned(scan),
        verdict=verdict,
        reason=reason,
        cells=tuple(trials.cells),
        witness=trials.witness,
        noise=trials.noise,
    )


def _pools(subject: Subject, opened: OpenModel, batch: BatchRange) -> tuple[Pool, ...]:
    rows = POOL_ROWS if batch.maximum is None else min(POOL_ROWS, batch.maximum)
    try:
        return pools(subject, opened, rows=rows)
    except InputInvalid as err:
        raise NotBatchable(str(err)) from err


def _scan(subject: Subject, pool: Pool, batch: BatchRange) -> Independence:
    large, small = _SCAN_ROWS if batch.allows(_SCAN_ROWS[0]) else (pool.rows, max(pool.rows - 1, 1))
    try:
        model = subject.proto()
    except ModelInvalid as err:
        return Independence(standing=Standing.UNREAD, reason=str(err))
    return examine(model, large=pool.take(range(large)), small=pool.take(range(small)))


def _alone(opened: OpenModel, found: Sequence[Pool], seconds: float) -> list[tuple[Pool, Answers]]:
    """The rows with what they give alone; of a slow model, a few rows of the first pool."""
    tried = [solo(opened, found[0], seconds=seconds / 4)]
    for pool in found[1:]:
        if tried[0][0].rows < found[0].rows:
            break
        try:
            tried.append(solo(opened, pool, seconds=seconds / 4))
        except NotBatchable:
            break  # the model takes the first rows, and does not take random ones
    return tried


def _tolerances(subject: Subject, tried: Sequence[tuple[Pool, Answers]]) -> dict[str, Tolerance]:
    feeds = [pool.take([row]) for pool, _ in tried for row in range(pool.rows)]
    return rounding_tolerances(
        subject, feeds, [answer for _, answers in tried for answer in answers]
    )


def _scanned(scan: Independence | None) -> dict[str, Any]:
    if scan is None:
        return {}
    return {"standing": scan.standing, "operator": scan.operator, "unknown": scan.unknown}


def _refusal(err: NotBatchable, scan: Independence | None) -> str:
    if scan is not None and scan.standing is Standing.REACHES:
        return f"{err}; {scan.reason}"
    return str(err)


def _decide(scan: Independence, trials: Trials) -> tuple[Verdict, str]:
    witness = trials.witness
    if scan.standing is Standing.REACHES:
        seen = f"seen in a trial: {witness}" if witness else "no trial showed it"
        return Verdict.DEPENDENT, f"{scan.reason} ({seen})"
    if scan.standing is Standing.UNREAD:
        return Verdict.DEPENDENT, f"{scan.reason} Trials alone allow nothing."
    if witness is not None:
        names = ", ".join(map(str, scan.unknown))
        suspects = f"; suspects: {names}" if names else ""
        return Verdict.DEPENDENT, f"an answer moved in its batch: {witness}{suspects}"
    rows = sum(cell.rows for cell in trials.cells)
    base = f"{rows} rows in batches agreed with themselves alone"
    if scan.standing is Standing.UNKNOWN:
        base += f"; {scan.reason}, so that this rests on trials"
    else:
        base += f", and {scan.reason}"
    if trials.is_bitwise:
        return Verdict.BITWISE, f"{base}: bit for bit"
    return Verdict.WITHIN_NOISE, f"{base}: within rounding, {trials.noise:.3g} at most"
