"""Establishes consistency in the background, one version at a time. Runs no model itself.

After a load: what the cache kept, else first the certificate of every version, because batching
waits for it, and then every check of the plain files, of which nothing is known. On request: every
check. A request that finds the same waiting or being done joins it: however many come, a version
waits at most once.
"""

import threading

import structlog

from service.consistency.cache import Cache
from service.consistency.examine import Examine
from service.consistency.helper import Helper
from service.consistency.record import Consistency
from service.consistency.report import Key, Report
from service.errors import HelperError, HelperRefused

__all__ = ["Examiner"]

_Job = tuple[Consistency, bool]
"""A version, and whether every check is to be made or only what the certificate needs."""

_log = structlog.stdlib.get_logger(__name__)


class Examiner:
    """A thread that has versions examined by a helper process.

    Args:
        cache: where reports are kept.
        at_load: whether versions are examined without being asked for.
        timeout_s: that one examination may take.
    """

    def __init__(self, *, cache: Cache, at_load: bool, timeout_s: float) -> None:
        self._cache = cache
        self._at_load = at_load
        self._timeout_s = timeout_s
        self._helper = Helper()
        self._changed = threading.Condition()
        self._waiting: dict[_Job, None] = {}  # a set that keeps its order
        self._running: _Job | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def recall(self, consistency: Consistency) -> None:
        """Take what the cache kept of a version, if it kept anything. Called before it is READY."""
        report = self._cache.read(consistency.key)
        if report is not None:
            consistency.finish(report, is_kept=True)

    def establish(self, consistency: Consistency) -> None:
        """Have a version examined that was loaded, unless the cache knew it. Returns at once."""
        known = consistency.status.report
        if self._at_load and known is None:
            self._put((consistency, False))
        if self._at_load and consistency.exported is None and not (known and known.thorough):
            self._put((consistency, True))

    def examine(self, consistency: Consistency) -> None:
        """Have every check of a version made, whatever is known of it. Returns at once."""
        self._put((consistency, True))

    def forget(self, consistency: Consistency) -> None:
        """Do not begin to examine a version that answers no more."""
        with self._changed:
            for thorough in (False, True):
                self._waiting.pop((consistency, thorough), None)

    def close(self) -> None:
        """Examine no more; what is being examined is given up. Returns when it is."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
            thread = self._thread
        self._helper.close()
        if thread is not None:
            thread.join()

    def _put(self, job: _Job) -> None:
        with self._changed:
            if self._is_closed or job == self._running or job in self._waiting:
                return
            self._waiting[job] = None
            job[0].begin()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="examine", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        while not self._is_closed:
            job = self._take()
            if job is None:
                self._helper.stop()  # nothing to do, so no process either
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._is_closed)
            else:
                self._examine(job[0], thorough=job[1])
        self._helper.stop()

    def _take(self) -> _Job | None:
        """What has waited longest: of the certificates, and only then of the rest."""
        with self._changed:
            self._running = min(self._waiting, key=lambda job: job[1], default=None)
            if self._running is not None:
                del self._waiting[self._running]
            return self._running

    def _examine(self, consistency: Consistency, *, thorough: bool) -> None:
        source = consistency.source
        log = _log.bind(model=source.name, version=source.version)
        try:
            report = self._helper.ask(
                Examine(source=source, key=consistency.key, thorough=thorough),
                timeout_s=self._timeout_s,
            )
            _require_fit(report, consistency.key)
            not_kept = self._cache.write(report)
        except HelperError as err:
            if not self._is_closed:
                self._fail(consistency, str(err).partition("\n")[0])
                log.warning("consistency unknown", reason=str(err))
            return
        except Exception:
            # The edge of a thread that nobody waits for: a bug costs this examination, and says so.
            self._fail(consistency, "an unexpected error; the server's log has the details")
            log.exception("consistency unknown")
            return
        with self._changed:
            self._running = None  # who asks from here on asks for another one
            is_last = all(job[0] is not consistency for job in self._waiting)
            consistency.finish(report, not_kept=not_kept, is_last=is_last)
        log.info(
            "consistency established",
            verdict=report.certificate.verdict,
            seconds=report.seconds,
            failed=[finding.check for finding in report.findings if finding.status == "fail"],
            **({"not_kept": not_kept} if not_kept else {}),
        )

    def _fail(self, consistency: Consistency, reason: str) -> None:
        with self._changed:
            self._running = None
            self._waiting.pop((consistency, True), None)  # it would fail in the same way
            consistency.fail(reason)


def _require_fit(report: Report, key: Key) -> None:
    if not key.fits(report.certificate):
        raise HelperRefused(
            f"it was examined on {report.certificate.provider} ({report.certificate.device});"
            f" requests run on {key.provider} ({key.device})"
        )
