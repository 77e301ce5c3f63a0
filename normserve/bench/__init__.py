"""``normserve bench``: a server under load, beside the runtime alone.

Needs no extra: what makes the load, h2load or a client of our own, is asked for when it runs.
"""

from normserve.bench.entry import command

__all__ = ["command"]
