"""Do ONNX Runtime's graph optimizations change what the model computes?

Explained in ``docs/checks/optimization-parity.md``.
"""

from bundle.checks.coarse import ways_tolerances
from bundle.checks.parity import feeds_of, finding, parity
from bundle.checks.subject import Subject
from bundle.manifest import Finding

__all__ = ["NAME", "check"]

NAME = "optimization-parity"


def check(subject: Subject) -> Finding:
    """Compare a session with all optimizations with one without any.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    plain, optimized = subject.open(optimize=False), subject.open()
    feeds = feeds_of(subject, plain)
    tolerances = ways_tolerances(subject, feeds, [optimized.run(feed) for feed in feeds])
    return finding(
        NAME,
        parity(plain.run, optimized.run, feeds, tolerances),
        passed="graph optimizations move the answers by rounding at most",
        failed="graph optimizations change the answers",
        remedy="find the operator by switching optimizers off one by one, report it to ONNX"
        " Runtime, and export without the pattern that it mistakes",
    )
