"""Why a model cannot be tuned, and why a way to run it is none."""

__all__ = ["Refused", "Untunable"]


class Untunable(Exception):
    """The model cannot be tuned; the message says why and what to do."""


class Refused(Exception):
    """The model may not be run this way; the message says why."""
