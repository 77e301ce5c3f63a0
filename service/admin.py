"""Who may ask for what changes or burdens the server. The one place that decides it.

Knows no transport: each asks here before it does such a thing.
"""

import ipaddress

from service.errors import OperationForbidden

__all__ = ["AdminGuard"]


class AdminGuard:
    """Lets operations through while the server is bound to loopback, and none otherwise.

    Args:
        host: the address that the server is bound to.
    """

    def __init__(self, *, host: str) -> None:
        self._host = host

    def require(self) -> None:
        """Whether an operation may go on.

        Raises:
            OperationForbidden: it may not.
        """
        if not _is_loopback(self._host):
            raise OperationForbidden(
                f"this server is bound to {self._host}; operations are open only while it is bound"
                " to loopback (127.0.0.1, ::1, localhost)"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"
