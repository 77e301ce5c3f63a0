"""The sizes of batches that a device is prepared for. Prepares nothing.

On a device every shape costs something when it is first seen: a search for convolutions, an engine,
a recording. So a run there has one of a few sizes: it is filled up with rows that are nobody's.
"""

__all__ = ["bucket", "buckets"]


def buckets(most: int) -> tuple[int, ...]:
    """The powers of two up to a number of rows."""
    return tuple(2**power for power in range(most.bit_length()))


def bucket(rows: int, most: int) -> int:
    """The smallest of those that holds so many rows; the rows themselves where none does."""
    size = 1 << (rows - 1).bit_length() if rows else 0
    return size if size <= most else rows
