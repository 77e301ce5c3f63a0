"""What this process is a release of. Decides nothing."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["normserve_version"]


def normserve_version() -> str:
    """The version of NormServe that is installed."""
    try:
        return version("normserve")
    except PackageNotFoundError:  # run from a checkout
        return "0+unknown"
