"""The trace settings that clients read and change, of models that there are. Traces nothing."""

from collections.abc import Mapping, Sequence

from service.registry import Registry
from service.tracing import TraceSettings
from service.tracing.settings import Values

__all__ = ["TraceControl"]


class TraceControl:
    """The way to the trace settings.

    Args:
        registry: which models there are.
        settings: that are read and changed.
    """

    def __init__(self, registry: Registry, settings: TraceSettings) -> None:
        self._registry = registry
        self._settings = settings

    @property
    def is_possible(self) -> bool:
        """Whether requests can be traced at all."""
        return self._settings.is_possible

    def values(self, model: str | None) -> Values:
        """The settings of a model, or of all.

        Raises:
            ModelUnknown: there is no such model.
        """
        self._require(model)
        return self._settings.values(model)

    def update(self, changes: Mapping[str, Sequence[str]], *, model: str | None) -> Values:
        """Change some settings of a model, or of all; no value at all takes one back.

        Returns:
            All of them, as they are then.

        Raises:
            ModelUnknown: there is no such model.
            ParameterInvalid: a setting is unknown, cannot have that value, or is not offered; none
                of them was changed.
        """
        self._require(model)
        return self._settings.update(changes, model=model)

    def _require(self, model: str | None) -> None:
        if model is not None:
            self._registry.versions(model)
