"""Why a target cannot be examined. Not for: what is wrong with a model that can be."""

__all__ = ["Unexaminable"]


class Unexaminable(Exception):
    """There is nothing to examine; the message is a sentence for a person."""
