"""Keeps packages from being imported. Imports none."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["absent"]


@contextmanager
def absent(name: str) -> Iterator[None]:
    """Let a package look as if it were not installed, unless it was imported already.

    For what libraries import only if it is there, and take their time for, while nothing here needs
    it. Not for a process whose other threads import at the same time.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's word for "is none"
    try:
        yield
    finally:
        del sys.modules[name]
