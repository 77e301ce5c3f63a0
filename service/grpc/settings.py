"""The methods that read and change trace and log settings: off the wire and back. Decides nothing.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_trace.md and
extension_logging.md. A message without settings reads them.
"""

from typing import Any

from service.dataplane import DataPlane
from service.grpc.schema import message

__all__ = ["SettingsMethods"]

_TraceSettings = message("TraceSettingResponse")
_LogSettings = message("LogSettingsResponse")


class SettingsMethods:
    """The two methods, for what has a data plane."""

    _plane: DataPlane

    async def trace_setting(self, request: Any) -> Any:
        """The trace settings, after the changes."""
        model = request.model_name or None
        changes = {name: list(setting.value) for name, setting in request.settings.items()}
        traces = self._plane.traces
        values = traces.update(changes, model=model) if changes else traces.values(model)
        response = _TraceSettings()
        for name, of_it in values.items():
            response.settings[name].value.extend(of_it)
        return response

    async def log_settings(self, request: Any) -> Any:
        """The log settings, after the changes."""
        changes = {name: _value(setting) for name, setting in request.settings.items()}
        response = _LogSettings()
        for name, value in self._plane.logs.update(changes).values().items():
            match value:
                case bool():
                    response.settings[name].bool_param = value
                case int():
                    response.settings[name].uint32_param = value
                case _:
                    response.settings[name].string_param = value
        return response


def _value(setting: Any) -> Any:
    """What a setting is given; ``None`` where it is given nothing."""
    chosen = setting.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(setting, chosen)
