"""Errors to HTTP: one table from the error tree to statuses, one form of body. Raises nothing.

Every error's body is ``{"error": "…"}``, as the Open Inference Protocol has it, also for what the
framework finds wrong (unknown route, wrong method).
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from service.errors import (
    BodyTooLarge,
    EncodingUnsupported,
    KeyRequired,
    LoadFailed,
    NotFound,
    NotReady,
    OperationForbidden,
    Overloaded,
    RequestInvalid,
    ServiceError,
    excerpt,
)
from service.tracing.current import failed

__all__ = [
    "ERROR_KEY",
    "STATUSES",
    "error_response",
    "install_error_handlers",
    "internal_error",
    "refusal",
    "response_to",
    "status_of",
]

STATUSES: Final[Mapping[type[ServiceError], HTTPStatus]] = {
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    EncodingUnsupported: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RequestInvalid: HTTPStatus.BAD_REQUEST,
    LoadFailed: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    KeyRequired: HTTPStatus.UNAUTHORIZED,
    OperationForbidden: HTTPStatus.FORBIDDEN,
    ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Looked up along the class's method resolution order."""

ERROR_KEY: Final = "normserve.error"
"""Where the request's scope keeps the message of a refusal, for the log."""

_HEADERS: Final[Mapping[type[ServiceError], Mapping[str, str]]] = {
    # RFC 7694: which codings a request may use
    EncodingUnsupported: {"Accept-Encoding": "gzip, deflate"},
    # RFC 6750: which kind of credentials
    KeyRequired: {"WWW-Authenticate": "Bearer"},
}


def status_of(error: type[ServiceError]) -> HTTPStatus:
    """The status of a class of errors."""
    return next(STATUSES[ancestor] for ancestor in error.__mro__ if ancestor in STATUSES)


def error_response(
    status: int, message: str, *, headers: Mapping[str, str] | None = None
) -> Response:
    """A reply that says what went wrong."""
    return Response(
        orjson.dumps({"error": message}),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def _told(request: Request, error: HTTPException) -> HTTPException:
    """The framework's own refusals, which repeat their status, with what was got and wanted."""
    path, detail = excerpt(request.scope["path"]), error.detail
    if detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is no route {path}; the HTTP port lists those that there are at /docs"
    elif detail == HTTPStatus.METHOD_NOT_ALLOWED.phrase:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{path} does not take {request.method}; it takes {allowed}"
    return HTTPException(error.status_code, detail, headers=error.headers)


def internal_error() -> Response:
    """The reply to a request that met a bug: what happened is in the log and not for clients."""
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")


def _headers_of(error: ServiceError) -> Mapping[str, str] | None:
    if isinstance(error, Overloaded):
        return {"Retry-After": str(error.retry_after_s)}
    return _HEADERS.get(type(error))


def response_to(error: Exception) -> Response | None:
    """The reply to a request that is not answered; ``None`` where it is none of the client's."""
    if isinstance(error, HTTPException):
        return error_response(error.status_code, error.detail, headers=error.headers)
    if isinstance(error, ServiceError):
        status = status_of(type(error))
        if status is not HTTPStatus.INTERNAL_SERVER_ERROR:
            return error_response(status, str(error), headers=_headers_of(error))
    return None


def refusal(request: Request, error: Exception) -> Response:
    """The same, and a note for the request's log and trace.

    Raises:
        Exception: the same error, where it is none of the client's.
    """
    if isinstance(error, HTTPException):
        error = _told(request, error)
    request.scope[ERROR_KEY] = str(error)
    failed(error)
    response = response_to(error)
    if response is None:
        raise error
    return response


def install_error_handlers(app: FastAPI) -> None:
    """Make the app answer every error in the protocol's form."""

    async def tell(request: Request, error: Exception) -> Response:
        return refusal(request, error)

    app.add_exception_handler(ServiceError, tell)
    app.add_exception_handler(HTTPException, tell)
