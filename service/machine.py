"""What this process runs on and is a release of. Decides nothing."""

import os
from importlib.metadata import PackageNotFoundError, version

__all__ = ["normserve_version", "usable_cores"]


def normserve_version() -> str:
    """The version of NormServe that is installed."""
    try:
        return version("normserve")
    except PackageNotFoundError:  # run from a checkout
        return "0+unknown"


def usable_cores() -> int:
    """The cores that this process may use: what containers and taskset leave of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
