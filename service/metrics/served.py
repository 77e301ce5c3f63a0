"""The models that numbers are about, and how they are labelled."""

from collections.abc import Iterator
from typing import Final

from service.registry import Registry, ServedModel, State

__all__ = ["MODEL", "labels_of", "ready_models"]

MODEL: Final = ("model", "version")
"""The labels of what is counted for each version, as Triton has them."""


def labels_of(model: ServedModel) -> tuple[str, str]:
    """The values of `MODEL`."""
    return model.name, str(model.version)


def ready_models(registry: Registry) -> Iterator[ServedModel]:
    """The versions that answer."""
    for entry in registry.entries():
        if entry.state is State.READY and entry.model is not None:
            yield entry.model
