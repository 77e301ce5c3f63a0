"""Is everything that the model returns served?

Explained in ``docs/checks/outputs.md``.
"""

from bundle import Finding
from exporters.checks.subject import TorchSubject

__all__ = ["NAME", "check"]

NAME = "outputs"


def check(subject: TorchSubject) -> Finding:
    """Name what a file cannot return."""
    left_out = subject.source.left_out
    if not left_out:
        return Finding(
            check=NAME,
            status="pass",
            measured=None,
            tolerance=None,
            meaning="every output of the model is an output of the file",
        )
    return Finding(
        check=NAME,
        status="warn",
        measured=None,
        tolerance=None,
        meaning=f"the model also returns {', '.join(left_out)}, which is no tensor and is left out",
        remedy="return tensors, or switch it off (use_cache=False and the like)",
    )
