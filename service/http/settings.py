"""The routes that read and change trace and log settings. Decides nothing.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_trace.md and
extension_logging.md.
"""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request

from service.codec.text import kind, parse_object
from service.dataplane import DataPlane
from service.errors import ParameterInvalid, excerpt
from service.http.bodies import read_body
from service.http.body import Body
from service.http.openapi import failures
from service.http.paths import MODEL, ModelName
from service.tracing.settings import LEVEL, Values

__all__ = ["settings_router"]


class TraceSettingsBody(Body):
    """Which requests are traced."""

    trace_level: list[str]
    """``OFF`` or ``TIMESTAMPS``."""
    trace_rate: str
    """One in so many inferences is traced."""
    trace_count: str
    """So many more are; -1 is without end."""
    log_frequency: str
    """Kept and without effect: there are no trace files."""
    trace_file: str
    trace_mode: str


class LogSettingsBody(Body):
    """What is logged."""

    log_file: str
    log_info: bool
    log_warning: bool
    log_error: bool
    log_verbose_level: int
    """More than 0 logs what is there to find defects with."""
    log_format: str
    """Kept and without effect: times are in ISO 8601 in either format."""


_TRACES: Final = "/v2/trace/setting"
_MODEL_TRACES: Final = f"{MODEL}/trace/setting"
_LOGS: Final = "/v2/logging"


def settings_router(plane: DataPlane, *, max_request_bytes: int) -> APIRouter:
    """The routes of both."""
    router = APIRouter(tags=["server"])
    changing = failures(400, 403, 404, 413, 415)

    async def change_traces(request: Request, model: str | None) -> dict[str, Any]:
        changes = await _fields(request, max_request_bytes)
        values = {name: _texts(name, value) for name, value in changes.items()}
        return _told(plane.traces.update(values, model=model))

    @router.get(_TRACES, summary="Which requests are traced?", response_model=TraceSettingsBody)
    async def traces() -> dict[str, Any]:
        return _told(plane.traces.values(None))

    @router.post(
        _TRACES,
        summary="Choose which requests are traced",
        response_model=TraceSettingsBody,
        responses=changing,
        openapi_extra=_body({"trace_level": ["TIMESTAMPS"], "trace_rate": "100"}),
    )
    async def set_traces(request: Request) -> dict[str, Any]:
        return await change_traces(request, None)

    @router.get(
        _MODEL_TRACES,
        summary="Which requests for a model are traced?",
        response_model=TraceSettingsBody,
        responses=failures(404),
    )
    async def model_traces(model: ModelName) -> dict[str, Any]:
        return _told(plane.traces.values(model))

    @router.post(
        _MODEL_TRACES,
        summary="Choose which requests for a model are traced",
        response_model=TraceSettingsBody,
        responses=changing,
        openapi_extra=_body({"trace_rate": "10", "trace_level": None}),
    )
    async def set_model_traces(request: Request, model: ModelName) -> dict[str, Any]:
        return await change_traces(request, model)

    @router.get(_LOGS, summary="What is logged?", response_model=LogSettingsBody)
    async def logs() -> Any:
        return plane.logs.settings.values()

    @router.post(
        _LOGS,
        summary="Choose what is logged",
        response_model=LogSettingsBody,
        responses=failures(400, 403, 413, 415),
        openapi_extra=_body({"log_info": False, "log_verbose_level": 1}),
    )
    async def set_logs(request: Request) -> Any:
        changes = await _fields(request, max_request_bytes)
        return plane.logs.update(changes).values()

    return router


async def _fields(request: Request, limit: int) -> dict[str, Any]:
    """The settings in a body; a client that sends nothing changes nothing."""
    body = await read_body(request, limit=limit)
    return parse_object(body) if body else {}


def _texts(name: str, value: Any) -> Sequence[str]:
    """The values of a trace setting, all of which are text; null is none."""
    match value:
        case None:
            return ()
        case str():
            return (value,)
        case list() if all(isinstance(each, str) for each in value):
            return value
        case list():
            got = "an array of something else"
        case int() | float():
            got = f"{kind(value)}, {excerpt(value)}"
        case _:
            got = kind(value)
    raise ParameterInvalid(
        f"{excerpt(name)} must be a string, an array of strings, or null; got {got}"
    )


def _told(values: Values) -> dict[str, Any]:
    """As Triton writes them: the level is a list, the rest has one value each."""
    return {name: list(each) if name == LEVEL else each[0] for name, each in values.items()}


def _body(example: dict[str, Any]) -> dict[str, Any]:
    """The documentation of a body that a route reads by itself."""
    content = {"schema": {"type": "object"}, "example": example}
    return {"requestBody": {"required": False, "content": {"application/json": content}}}
