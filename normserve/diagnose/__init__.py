"""``normserve diagnose``: where a model begins to compute something else, and why."""

from normserve.diagnose.entry import command

__all__ = ["command"]
