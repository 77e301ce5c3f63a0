"""Triton's log settings: what is logged, and how it may be changed. Writes no log.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_logging.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

from service.codec.text import kind
from service.errors import ParameterInvalid, excerpt

__all__ = ["Level", "LogControl", "LogSettings"]

Level = Literal["debug", "info", "warning", "error"]
"""The least important lines that are written."""

_FLAGS: Final = ("log_info", "log_warning", "log_error")
_FORMATS: Final = ("default", "ISO8601")
_VERBOSE: Final = range(2**32)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged.

    Attributes:
        log_file: empty; the log goes to standard error.
        log_info: whether lines of the level ``info`` are written.
        log_warning: the same of ``warning``.
        log_error: the same of ``error``.
        log_verbose_level: lines of the level ``debug`` are written if it is more than 0.
        log_format: kept and without effect: times are in ISO 8601 in either format.
    """

    log_file: str = ""
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: int = 0
    log_format: str = "default"

    @classmethod
    def from_level(cls, level: Level) -> Self:
        """Those of a server that writes this level and what is more important."""
        return cls(
            log_info=level in {"debug", "info"},
            log_warning=level != "error",
            log_verbose_level=int(level == "debug"),
        )

    def values(self) -> Mapping[str, Any]:
        """Each setting by its name."""
        return asdict(self)


class LogControl:
    """The log settings of the process, and the way to change them.

    Args:
        settings: at the start.
        apply: makes settings hold, which these do from now on; left out where the log is not the
            service's, which only keeps the settings then.

    Attributes:
        settings: as they are now.
    """

    def __init__(
        self, settings: LogSettings, *, apply: Callable[[LogSettings], None] | None = None
    ) -> None:
        self.settings = settings
        self._followers: list[Callable[[LogSettings], None]] = []
        if apply is not None:
            self.follow(apply)

    def follow(self, apply: Callable[[LogSettings], None]) -> None:
        """Let something else apply the settings too, now and whenever they change."""
        self._followers.append(apply)
        apply(self.settings)

    def replace(self, settings: LogSettings) -> None:
        """Let other settings hold."""
        self.settings = settings
        for apply in self._followers:
            apply(settings)

    def update(self, changes: Mapping[str, Any]) -> LogSettings:
        """Change some; what is ``None`` stays, and so does what nobody knows.

        Returns:
            All of them, as they are then.

        Raises:
            ParameterInvalid: a setting cannot have that value; none of them was changed.
        """
        known = {
            name: _checked(name, value)
            for name, value in changes.items()
            if value is not None and name in self.settings.values()
        }
        self.replace(replace(self.settings, **known))
        return self.settings


def _checked(name: str, value: Any) -> Any:
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise ParameterInvalid(f"{name} must be true or false; got {_told(value)}")
    elif name == "log_verbose_level":
        if type(value) is not int or value not in _VERBOSE:
            raise ParameterInvalid(
                f"{name} must be an integer from 0 to {_VERBOSE[-1]}; got {_told(value)}"
            )
    elif name == "log_format":
        if value not in _FORMATS:
            raise ParameterInvalid(f"{name} must be {' or '.join(_FORMATS)}; got {_told(value)}")
    elif value != "":
        raise ParameterInvalid(
            f"{name} cannot be set: the log goes to standard error; got {_told(value)}"
        )
    return value


def _told(value: Any) -> str:
    is_plain = isinstance(value, str | int | float)
    return f"{kind(value)}, {excerpt(value)}" if is_plain else kind(value)
