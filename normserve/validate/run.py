"""Examine every target, one after the other, and serve those that are to be served.

Whatever a model provokes, the others are still examined and this one says what happened.
"""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Protocol

from bundle import resolve
from bundle.checks import Subject
from bundle.checks.device import device_of, runtime
from normserve.served import NAME as AS_SERVED
from normserve.served import Item, Staged
from normserve.validate.disk import examine_disk
from normserve.validate.document import Examined, FailOn, Kind, Report, Where
from normserve.validate.errors import Unexaminable
from normserve.validate.network import (
    Described,
    examine_network,
    names_of_the_zoo,
    where_is_network,
)
from normserve.validate.places import where_is
from normserve.validate.plan import Notes, Plan
from normserve.validate.serving import Serving, serve_together
from normserve.validate.targets import DiskTarget, NetworkTarget, Target, find_targets
from normserve.validate.text import encodable

__all__ = ["Progress", "validate"]


class Progress(Protocol):
    """Is told how far the work is."""

    def update(self, done: int, total: int, message: str) -> None:
        """``done`` of ``total`` steps are done; the next is about ``message``."""
        ...

    def stage(self, message: str) -> None:
        """What is done now."""
        ...


@dataclass(slots=True)
class _Record:
    """What becomes of one target."""

    title: str
    target: Target | None = None
    notes: Notes = field(default_factory=Notes)
    where: Where | None = None
    subject: Subject | None = None
    error: str = ""


class _Steps:
    """Counts what has been begun."""

    def __init__(self, progress: Progress, *, total: int) -> None:
        self._progress = progress
        self._total = total
        self._begun = 0

    def begin(self, message: str) -> None:
        """The next step begins, and those before it have ended."""
        self._progress.update(min(self._begun, self._total), self._total, message)
        self._begun += 1

    def end(self) -> None:
        """The last has ended."""
        self._progress.update(self._total, self._total, "done")


def validate(
    arguments: Sequence[str],
    plan: Plan,
    *,
    described: Described,
    served: bool | None,
    fail_on: FailOn,
    progress: Progress,
) -> Report:
    """Examine all that the arguments stand for.

    Args:
        arguments: as the command line has them.
        plan: how.
        described: of a model that a function makes.
        served: whether models on disk are asked behind a server too; None: those in folders are,
            bare files are not.
        fail_on: from which status on the run fails.
        progress: is told how far it is.

    Raises:
        ProviderUnavailable: the policy requires a provider that is not there.
    """
    provider = resolve(plan.policy)[0][0]
    groups = list(_groups(arguments))
    to_serve = [[record for record in g if _is_served(record, plan, served=served)] for g in groups]
    steps = _Steps(progress, total=sum(map(len, [*groups, *to_serve])))
    for group, served_too in zip(groups, to_serve, strict=True):
        for record in group:
            steps.begin(record.title)
            _examine(record, plan, described, progress)
        with _noting_errors(served_too):
            _serve(served_too, plan, steps)
    steps.end()
    return Report(
        normserve=_version(),
        runtime=runtime(),
        policy=str(plan.policy),
        threads=plan.threads,
        device=device_of(provider),
        created=datetime.now(UTC),
        fail_on=fail_on,
        targets=tuple(_examined(record) for group in groups for record in group),
    )


def _groups(arguments: Sequence[str]) -> Iterator[list[_Record]]:
    """The records of each argument; a model that several arguments stand for is examined once."""
    seen: set[object] = set()
    for argument in arguments:
        try:
            targets = find_targets(argument, zoo=names_of_the_zoo)
        except (Unexaminable, OSError) as err:
            yield [_Record(argument, error=str(err))]
            continue
        new = {_identity(target): target for target in targets if _identity(target) not in seen}
        seen.update(new)
        yield [_Record(target.title, target) for target in new.values()]


def _identity(target: Target) -> object:
    return target.model.resolve() if isinstance(target, DiskTarget) else target.title


def _examine(record: _Record, plan: Plan, described: Described, progress: Progress) -> None:
    def say(what: str) -> None:
        progress.stage(f"{record.title}: {what}")

    with _noting_errors([record]):
        if isinstance(record.target, DiskTarget):
            record.where = where_is(record.target.model)
            record.subject = examine_disk(record.target, plan, record.notes, say)
        elif isinstance(record.target, NetworkTarget):
            examine_network(record.target, described, plan, record.notes, say)
            record.where = where_is_network(record.target)


def _is_served(record: _Record, plan: Plan, *, served: bool | None) -> bool:
    """Whether it is to be asked behind a server, if it opens at all."""
    if not isinstance(record.target, DiskTarget) or not plan.selection.wants(AS_SERVED):
        return False
    if served is None:
        return AS_SERVED in (plan.selection.only or ()) or record.target.folder is not None
    return served


def _serve(records: Sequence[_Record], plan: Plan, steps: _Steps) -> None:
    servings = [
        Serving(
            record.title,
            Item(Staged.of(record.target.folder or record.target.model), record.subject),
            record.notes,
        )
        for record in records
        if isinstance(record.target, DiskTarget) and record.subject is not None
    ]
    if servings:
        serve_together(servings, plan, lambda title: steps.begin(f"{title}: {AS_SERVED}"))


@contextmanager
def _noting_errors(records: Sequence[_Record]) -> Iterator[None]:
    error = ""
    try:
        yield
    except Unexaminable as err:
        error = str(err)
    except Exception as err:  # noqa: BLE001 - see below
        # The edge of an examination: a model file or a function of anybody's can provoke anything
        # in a library, and the other targets are still to be examined.
        frame = traceback.extract_tb(err.__traceback__)[-1]
        error = f"unexpected {type(err).__name__}: {err} (at {frame.filename}:{frame.lineno})"
    for record in records:
        record.error = record.error or error


def _examined(record: _Record) -> Examined:
    # what this run established first, then what the exporter did
    found = sorted(record.notes.found, key=lambda found: found.established == "export")
    nothing = "" if found else "none of the checks that were chosen is about such a target."
    return Examined(
        target=encodable(record.title),
        kind=_kind(record.target),
        where=record.where,
        findings=tuple(found),
        certificate=record.notes.certificate,
        error=encodable(record.error) or nothing,
    )


def _kind(target: Target | None) -> Kind | None:
    if isinstance(target, NetworkTarget):
        return "network"
    if target is None:
        return None
    if target.folder is None:
        return "file"
    return "bundle" if target.has_manifest else "plain"


def _version() -> str:
    try:
        return metadata.version("normserve")
    except metadata.PackageNotFoundError:  # run from a checkout
        return "0+unknown"
