"""Several processes for HTTP in front of one engine: who they are, and what they say to it.

The main process keeps all that has state: models, batches, counts, the app. A front has the
connections of its clients, takes their requests apart and puts the replies together.
"""

from service.fronts.server import FrontedServer

__all__ = ["FrontedServer"]
