"""Is each norm layer's own output in the file what torch computes there?

Explained in ``docs/checks/fold-parity.md``.
"""

from bundle import Finding, NormLayer
from exporters.checks.subject import TorchSubject
from exporters.checks.words import counted

__all__ = ["NAME", "check"]

NAME = "fold-parity"

_NAMED = 3


def check(subject: TorchSubject) -> Finding:
    """The layer that is furthest off, against torch's own error at the same place."""
    measured = [layer for layer in subject.norms if layer.error is not None]
    silent = len(subject.norms) - len(measured)
    if not measured:
        return Finding(
            check=NAME,
            status="not_applicable",
            measured=None,
            tolerance=None,
            meaning="no value of the file is the output of a normalization layer"
            if subject.norms
            else "there are no normalization layers",
        )
    measured.sort(key=_excess, reverse=True)
    worst = measured[0]
    wrong = [layer for layer in measured if not _excess(layer) <= 1]
    meaning = f"the outputs of {counted(len(measured), 'normalization layer')} are torch's"
    if silent:
        meaning += f"; {counted(silent, 'more layer')} without a value of its own in the file"
    if wrong:
        meaning = f"{len(wrong)} of {counted(len(measured), 'layer')} off: " + "; ".join(
            f"'{layer.name}' ({layer.kind}, {layer.fate}: {layer.detail}) by {layer.error:.3g}"
            for layer in wrong[:_NAMED]
        )
    return Finding(
        check=NAME,
        status="fail" if wrong else "pass",
        measured=worst.error,
        tolerance=worst.tolerance,
        meaning=meaning,
        remedy="the first of them in the order of the model is where it begins" if wrong else "",
    )


def _excess(layer: NormLayer) -> float:
    """The error as a part of what is allowed; NaN, which is not below 1, where it is no number."""
    if layer.error is None or layer.tolerance is None:
        return 0.0
    return layer.error / layer.tolerance.atol if layer.tolerance.atol else float(layer.error > 0)
