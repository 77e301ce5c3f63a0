"""What became of a policy, for people: the log, and the properties of a model. Places nothing."""

from collections.abc import Mapping

import structlog

from bundle.placement import named
from service.engine import Opened

__all__ = ["placement_properties", "warn_of_placement"]

_log = structlog.stdlib.get_logger(__name__)


def placement_properties(opened: Opened) -> dict[str, str]:
    """Where a model runs, and what did not come where it was wanted."""
    nodes = opened.placement.counts()
    return {
        "provider": opened.provider,
        "placement": ", ".join(f"{provider}: {count}" for provider, count in nodes.items()),
        **_unwanted(opened),
    }


def warn_of_placement(opened: Opened, *, model: str, version: int) -> None:
    """A line in the log for providers that were passed over, and for heavy nodes elsewhere."""
    for name, which in _unwanted(opened).items():
        _log.warning(name.replace("_", " "), model=model, version=version, which=which)


def _unwanted(opened: Opened) -> Mapping[str, str]:
    placement = opened.placement
    said = {
        "providers_passed_over": "; ".join(placement.passed_over),
        "heavy_nodes_elsewhere": named(placement.heavy_elsewhere(opened.provider)),
    }
    return {name: which for name, which in said.items() if which}
