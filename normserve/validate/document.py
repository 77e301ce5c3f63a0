"""What a validation found: the document behind every output, and ``--json`` itself.

The JSON Schema of this version is published in ``docs/validate.schema.json``.
"""

from datetime import datetime
from typing import Final, Literal

from pydantic import computed_field

from bundle import Finding
from bundle.certificate import BatchCertificate
from bundle.document import Document

__all__ = ["REPORT_VERSION", "Examined", "FailOn", "Found", "Kind", "Report", "Status", "Where"]

REPORT_VERSION: Final = 1

FailOn = Literal["fail", "warn"]
"""From which status on a finding makes the run fail."""

Kind = Literal["bundle", "plain", "file", "network"]
"""What a target is: a version folder with a manifest, one without, a bare ``.onnx`` file, or a
torch model that a function makes."""

Status = Literal["pass", "warn", "fail", "error"]
"""Of a target or a run, the worst of its parts; ``error``: it could not be examined."""

_RANK: Final[tuple[Status, ...]] = ("pass", "warn", "fail", "error")


class Found(Finding):
    """A finding, and what it counts for.

    Attributes:
        established: ``now``: by this run. ``export``: by the exporter, read from the manifest.
        allowed: a failure that was allowed when the model was exported; it counts as a warning.
    """

    established: Literal["now", "export"] = "now"
    allowed: bool = False

    @property
    def counts_as(self) -> Status:
        """What it makes of its target."""
        if self.status == "not_applicable":
            return "pass"
        return "warn" if self.status == "fail" and self.allowed else self.status


class Where(Document):
    """A file in which a person finds the target.

    Attributes:
        path: relative to the working folder where it is below it, with forward slashes.
        line: in it, counted from 1; 1 in files without lines.
    """

    path: str
    line: int = 1


class Examined(Document):
    """One model.

    Attributes:
        target: what it is called: its path, ``package.module:factory``, or a name of the zoo.
        kind: what it is.
        where: the file that stands for it, where there is one.
        findings: in the order in which they were made.
        certificate: whether rows of different requests may share a batch, if that was examined.
        error: why it could not be examined, or not to its end; empty where it could.
    """

    target: str
    kind: Kind | None = None
    where: Where | None = None
    findings: tuple[Found, ...] = ()
    certificate: BatchCertificate | None = None
    error: str = ""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def status(self) -> Status:
        """The worst of its findings; ``error`` where it could not be examined."""
        return "error" if self.error else _worst([found.counts_as for found in self.findings])

    def count(self, status: Status) -> int:
        """How many findings count as that."""
        return sum(found.counts_as == status for found in self.findings)


class Report(Document):
    """A run over all targets.

    Attributes:
        schema_version: of this document's form.
        normserve: the version of NormServe.
        runtime: name and version of what ran the models.
        policy: where they were to run.
        threads: of one run.
        device: the processor.
        created: when, with its time zone.
        fail_on: from which status on the run fails.
        targets: every model, in the order of the arguments.
    """

    schema_version: Literal[1] = REPORT_VERSION
    normserve: str
    runtime: str
    policy: str
    threads: int
    device: str
    created: datetime
    fail_on: FailOn
    targets: tuple[Examined, ...]

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def status(self) -> Status:
        """The worst of the targets'."""
        return _worst([target.status for target in self.targets])

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def exit_status(self) -> int:
        """0: no check failed. 1: one did. 2: a target could not be examined."""
        if self.status == "error":
            return 2
        return int(self.fails(self.status))

    def fails(self, status: Status) -> bool:
        """Whether a part of that status makes the run fail."""
        return _RANK.index(status) >= _RANK.index(self.fail_on)

    def count(self, status: Status) -> int:
        """How many targets have that status."""
        return sum(target.status == status for target in self.targets)


def _worst(statuses: list[Status]) -> Status:
    return max(statuses, key=_RANK.index, default="pass")
