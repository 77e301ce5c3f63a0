"""What can go wrong with a server process of ours."""

__all__ = ["ServerFailed"]


class ServerFailed(Exception):
    """The server did not start, or ended; the message has the last lines of its log."""
