"""Is an input known that the model computes?

Explained in ``docs/checks/inputs.md``.
"""

from bundle import Finding, InputInvalid
from bundle.checks.parity import feeds_of
from normserve.validate.ondisk import OnDisk

__all__ = ["NAME", "check"]

NAME = "inputs"


def check(on_disk: OnDisk) -> Finding:
    """Run the samples, or look for random inputs within the declared shapes.

    Raises:
        BundleError: the model cannot be opened, or fails for a reason that is not its input.
    """
    subject = on_disk.subject()
    opened = subject.open()
    try:
        feeds = feeds_of(subject, opened)
        for feed in feeds:
            opened.run(feed)
    except InputInvalid as err:
        return _finding(
            "warn",
            f"other checks may have nothing to run the model with: {err}",
            "put samples of what the model takes beside it, in ONNX's own layout:"
            " test_data_set_0/input_0.pb",
        )
    shapes = ", ".join(f"{name} {array.shape}" for name, array in feeds[0].items())
    source = "samples" if subject.inputs else "random numbers within the declared shapes"
    return _finding("pass", f"the model computes {source}, such as {shapes or 'no input at all'}")


def _finding(status: str, meaning: str, remedy: str = "") -> Finding:
    return Finding(
        check=NAME, status=status, measured=None, tolerance=None, meaning=meaning, remedy=remedy
    )
