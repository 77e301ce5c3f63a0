"""A request that a front passes on, as a connection of the main process's HTTP server."""

import asyncio
from typing import Any

from service.http.connection import BoundedProtocol

__all__ = ["Visitor"]


class Visitor(BoundedProtocol):
    """A connection that a front has made for one request of its client's.

    It is the front that does not wait for a client for ever.

    Args:
        client: the client's address, as the front sees it.
        server: the address that it has connected to.
        is_encrypted: whether the client's own connection is.
    """

    def __init__(
        self,
        *args: Any,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        is_encrypted: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._addresses = client, server
        self._is_encrypted = is_encrypted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The front has connected."""
        super().connection_made(transport)
        self.client, self.server = self._addresses
        self.scheme = "https" if self._is_encrypted else "http"

    def _wait_for_client(self) -> None:
        pass
