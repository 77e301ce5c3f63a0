"""A bundle behind a real server process, asked by a real client: the check ``as-served``.

It needs a server, so it is here and not in `bundle.checks`. Knows no torch.
"""

from normserve.served.check import NAME, Item, check_served
from normserve.served.errors import ServerFailed
from normserve.served.process import Server, server_of
from normserve.served.staging import Staged, stage

__all__ = [
    "NAME",
    "Item",
    "Server",
    "ServerFailed",
    "Staged",
    "check_served",
    "server_of",
    "stage",
]
