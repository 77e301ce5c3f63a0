"""What models are loaded from, wherever that is."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Protocol

from service.repository.plan import ModelPlan

__all__ = ["Repository", "Stamp"]

Stamp = Hashable
"""Equal for two looks at a model if nothing of it changed in between."""


class Repository(Protocol):
    """Models that can be loaded. All of it blocks: none of it is for the event loop.

    Attributes:
        folder: where they lie, or are kept, on this machine.
    """

    folder: Path

    def check(self) -> None:
        """Whether it can be served from.

        Raises:
            RepositoryMissing: it cannot; the message says why and what to do.
        """
        ...

    def stamps(self) -> dict[str, Stamp]:
        """Of every model, something that is equal as long as nothing of it changes; cheap.

        Raises:
            OSError: the repository cannot be read.
        """
        ...

    def plan(self, name: str, *, config: Any | None = None) -> ModelPlan | None:
        """What should be served of a model, there to be loaded; None where there is no such model.

        Args:
            name: of the model, as somebody said it.
            config: in place of the one that the repository has for it.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def close(self) -> None:
        """Nothing is loaded any more."""
        ...

    def release(self, name: str, *, keep: frozenset[int]) -> None:
        """Nothing but these versions of a model is served, or about to be."""
        ...
