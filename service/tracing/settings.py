"""Triton's trace settings: which requests are traced, for all models or one. Makes no spans.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_trace.md and
src/tracer.cc. Values travel as text. What is not set for a model is as it is for all, and what is
not set there is as the server started.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, cast

from service.errors import ParameterInvalid, excerpt

__all__ = ["LEVEL", "TraceSettings", "Values"]

Values = Mapping[str, Sequence[str]]
"""Settings by name; most have one value, ``trace_level`` may have several."""

_Number = Literal["trace_rate", "trace_count", "log_frequency"]
_RANGES: Final[Mapping[_Number, range]] = {
    "trace_rate": range(2**32),
    "trace_count": range(-1, 2**31),
    "log_frequency": range(2**32),
}
_DEFAULTS: Final[Mapping[_Number, int]] = {"trace_rate": 1, "trace_count": -1, "log_frequency": 0}

LEVEL: Final = "trace_level"
_FILE: Final = "trace_file"
_MODE: Final = "trace_mode"
_THE_MODE: Final = "opentelemetry"
_NAMES: Final = (LEVEL, *_DEFAULTS, _FILE, _MODE)
_NUMBER: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)


@dataclass(slots=True)
class _Scope:
    """What was set for one model or for all of them, and what was used up of it.

    Attributes:
        is_on: whether requests are traced; ``None`` where it was not set.
        numbers: those that were set.
        seen: requests since the rate was set.
    """

    is_on: bool | None = None
    numbers: dict[_Number, int] = field(default_factory=dict)
    seen: int = 0


class TraceSettings:
    """The settings of all models and of each, and what they choose.

    Args:
        is_possible: whether there is anything that traces could be sent to. If so, tracing is on
            at the start; if not, it cannot be turned on.
    """

    def __init__(self, *, is_possible: bool) -> None:
        self.is_possible = is_possible
        self._all = _Scope()
        self._models: dict[str, _Scope] = {}

    def values(self, model: str | None = None) -> Values:
        """The settings of a model, or of all, as text."""
        numbers: Values = {name: (str(self._number(name, model)),) for name in _DEFAULTS}
        level = "TIMESTAMPS" if self.is_on(model) else "OFF"
        return {LEVEL: (level,), **numbers, _FILE: ("",), _MODE: (_THE_MODE,)}

    def update(self, changes: Mapping[str, Sequence[str]], *, model: str | None = None) -> Values:
        """Change some settings of a model, or of all; no value at all takes one back.

        Returns:
            All of them, as they are then.

        Raises:
            ParameterInvalid: a setting is unknown, cannot have that value, or is not offered; none
                of them was changed.
        """
        levels: list[bool | None] = []
        numbers: dict[_Number, int | None] = {}
        for name, values in changes.items():
            if name == LEVEL:
                levels.append(self._level(values))
            elif name in _DEFAULTS:
                number = cast("_Number", name)
                numbers[number] = _parsed(number, values)
            else:
                _refuse_others(name, values)
        scope = self._all if model is None else self._models.setdefault(model, _Scope())
        for is_on in levels:
            scope.is_on = is_on
        for number, value in numbers.items():
            if value is None:
                scope.numbers.pop(number, None)
            else:
                scope.numbers[number] = value
        if "trace_rate" in numbers:
            scope.seen = 0
        return self.values(model)

    def is_on(self, model: str | None = None) -> bool:
        """Whether requests for a model are traced, or those for none."""
        for scope in self._scopes(model):
            if scope.is_on is not None:
                return scope.is_on
        return self.is_possible

    def is_due(self, model: str) -> bool:
        """Count a request for a model that belongs to no trace yet, and say if it begins one."""
        scope = self._holder("trace_rate", model)
        scope.seen += 1
        rate = self._number("trace_rate", model)
        return rate > 0 and scope.seen % rate == 0 and self._number("trace_count", model) != 0

    def use_up(self, model: str) -> None:
        """A request that was due is traced: one less of a limited number."""
        left = self._number("trace_count", model)
        if left > 0:
            self._holder("trace_count", model).numbers["trace_count"] = left - 1

    def _scopes(self, model: str | None) -> tuple[_Scope, ...]:
        """Where settings of a model are looked for, in that order."""
        own = None if model is None else self._models.get(model)
        return (self._all,) if own is None else (own, self._all)

    def _holder(self, name: _Number, model: str | None) -> _Scope:
        """The scope that decides a setting of a model."""
        return next((s for s in self._scopes(model) if name in s.numbers), self._all)

    def _number(self, name: _Number, model: str | None) -> int:
        return self._holder(name, model).numbers.get(name, _DEFAULTS[name])

    def _level(self, values: Sequence[str]) -> bool | None:
        for value in values:
            if value not in {"OFF", "TIMESTAMPS"}:
                raise ParameterInvalid(
                    f"{LEVEL} {excerpt(value)} is not offered; it may be OFF or TIMESTAMPS"
                )
        if not values:
            return None
        if len(set(values)) > 1:
            raise ParameterInvalid(f"{LEVEL} is OFF and TIMESTAMPS; it may be one of them")
        if values[0] == "OFF":
            return False
        if not self.is_possible:
            raise ParameterInvalid(
                f"{LEVEL} TIMESTAMPS is not possible: this server has nothing to send traces to;"
                " start it with NORMSERVE_OTEL_ENDPOINT, the URL of an OpenTelemetry collector"
            )
        return True


def _parsed(name: _Number, values: Sequence[str]) -> int | None:
    """The number that a setting is given, or ``None`` where it is taken back."""
    if not values:
        return None
    text = _single(name, values)
    allowed = _RANGES[name]
    if not _NUMBER.fullmatch(text) or int(text) not in allowed:
        raise ParameterInvalid(
            f"{name} is {excerpt(text)}; it must be a number from {allowed[0]} to {allowed[-1]},"
            " as text"
        )
    return int(text)


def _refuse_others(name: str, values: Sequence[str]) -> None:
    """What has one possible value may be given just that, as a client does that sends all back."""
    if name not in _NAMES:
        raise ParameterInvalid(
            f"there is no trace setting {excerpt(name)}; there are {', '.join(_NAMES)}"
        )
    if not values:
        return
    value = _single(name, values)
    if name == _FILE and value:
        raise ParameterInvalid(
            f"{_FILE} is {excerpt(value)}; this server writes no trace files, it sends traces to an"
            " OpenTelemetry collector"
        )
    if name == _MODE and value != _THE_MODE:
        raise ParameterInvalid(f"{_MODE} is {excerpt(value)}; {_THE_MODE} is what there is here")


def _single(name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise ParameterInvalid(f"{name} has {len(values)} values; it may have one")
    return values[0]
