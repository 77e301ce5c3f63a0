"""Does the number of threads change what the model computes?

Explained in ``docs/checks/threads-parity.md``.
"""

from bundle.checks.parity import feeds_of, finding, parity, worst_of
from bundle.checks.rounding import rounding_tolerances
from bundle.checks.subject import Subject
from bundle.manifest import Finding

__all__ = ["NAME", "check"]

NAME = "threads-parity"

_THREADS = (2, 4)
"""Small numbers, so that the check is the same on every machine; 4 exceeds the cores of some."""


def check(subject: Subject) -> Finding:
    """Compare sessions of several threads with one of one thread.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    single = subject.open(threads=1)
    feeds = feeds_of(subject, single)
    tolerances = rounding_tolerances(subject, feeds, [single.run(feed) for feed in feeds])
    comparisons = [
        comparison
        for threads in _THREADS
        for comparison in parity(single.run, subject.open(threads=threads).run, feeds, tolerances)
    ]
    is_exact = worst_of(comparisons).max_abs_error == 0
    said = "not at all" if is_exact else "by rounding at most"
    return finding(
        NAME,
        comparisons,
        passed=f"1, {' and '.join(map(str, _THREADS))} threads move the answers {said}",
        failed="the answers depend on the number of threads",
        remedy="serve with one thread, and report the operator to ONNX Runtime",
    )
