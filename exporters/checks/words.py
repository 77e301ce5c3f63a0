"""Numbers of things in messages. Knows nothing of what they count."""

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
