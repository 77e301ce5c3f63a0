"""A report whose every text is out to break the form that it is written in."""

from datetime import UTC, datetime

from bundle import Tolerance
from normserve.validate import Examined, Found, Report
from normserve.validate.document import Where

NAME = """<&"'/>]]> | `a` [b](javascript:x) *c* \\ @d #1 :e: $f$ {{g}}"""
"""Everything that is markup somewhere, on one line."""
CONTROLS = "line\nbreak\r\x1b[31m\x00\u202e\u2028::error::x"
"""What no form may pass on as it is."""

FOUND = Found(
    check="batch-invariance",
    status="fail",
    measured=float("inf"),
    tolerance=Tolerance(atol=1e-6, rtol=0.5, source=NAME),
    meaning=f"{NAME}{CONTROLS}",
    remedy=f"mend {NAME}",
)


def passed(check="file", **fields):
    return Found(
        check=check, status="pass", measured=0.25, tolerance=None, meaning="fine", **fields
    )


def report(*targets, fail_on="fail"):
    return Report(
        normserve="1.2.3",
        runtime="onnxruntime 1",
        policy="cpu",
        threads=1,
        device="a machine",
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        fail_on=fail_on,
        targets=targets,
    )


def hostile():
    """One target that failed and one that could not be examined, both with hostile names."""
    return report(
        Examined(
            target=NAME,
            kind="file",
            where=Where(path=f"models/{NAME}.onnx"),
            findings=(FOUND, passed()),
        ),
        Examined(target=f"{NAME}{CONTROLS}", error=f"{NAME}{CONTROLS}"),
    )
