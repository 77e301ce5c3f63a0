"""Errors to gRPC: one table from the error tree to status codes. Raises nothing."""

from collections.abc import Mapping
from typing import Final

from grpc import StatusCode

from service.errors import (
    BodyTooLarge,
    EncodingUnsupported,
    KeyRequired,
    LoadFailed,
    NotFound,
    NotReady,
    OperationForbidden,
    RegionExists,
    RequestInvalid,
    ServiceError,
    TimeoutExpired,
)

__all__ = ["STATUSES", "status_of", "told"]

STATUSES: Final[Mapping[type[ServiceError], StatusCode]] = {
    BodyTooLarge: StatusCode.RESOURCE_EXHAUSTED,
    EncodingUnsupported: StatusCode.UNIMPLEMENTED,
    RegionExists: StatusCode.ALREADY_EXISTS,
    RequestInvalid: StatusCode.INVALID_ARGUMENT,
    LoadFailed: StatusCode.FAILED_PRECONDITION,
    NotFound: StatusCode.NOT_FOUND,
    TimeoutExpired: StatusCode.DEADLINE_EXCEEDED,
    NotReady: StatusCode.UNAVAILABLE,
    KeyRequired: StatusCode.UNAUTHENTICATED,
    OperationForbidden: StatusCode.PERMISSION_DENIED,
    ServiceError: StatusCode.INTERNAL,
}
"""Looked up along the class's method resolution order."""


def status_of(error: type[ServiceError]) -> StatusCode:
    """The status code of a class of errors."""
    return next(STATUSES[ancestor] for ancestor in error.__mro__ if ancestor in STATUSES)


def told(error: ServiceError) -> tuple[StatusCode, str]:
    """What a client is told: what is a defect of ours is in the log and not for it."""
    status = status_of(type(error))
    return status, "internal error" if status is StatusCode.INTERNAL else str(error)
