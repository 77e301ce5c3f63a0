"""An axis along which numbers share a statistic. Measures nothing."""

from collections.abc import Sequence

from bundle.document import Document

__all__ = ["Shared", "shared_axes"]


class Shared(Document):
    """An axis along which statistics are shared.

    Attributes:
        axis: its number.
        name: ``N``, ``C``, ``H`` …
        span: how many places along it share a statistic.
        size: how many there are.
    """

    axis: int
    name: str
    span: int
    size: int

    def __str__(self) -> str:
        """The name, with the group's size where it is not all of the axis."""
        return self.name if self.span == self.size else f"{self.name} ({self.span} of {self.size})"


def shared_axes(
    spans: Sequence[int], shape: Sequence[int], names: Sequence[str]
) -> tuple[Shared, ...]:
    """The axes along which more than one place shares a statistic.

    Args:
        spans: how many do, for each axis.
        shape: how many there are.
        names: of the axes.
    """
    return tuple(
        Shared(axis=axis, name=names[axis], span=span, size=shape[axis])
        for axis, span in enumerate(spans)
        if span > 1
    )
