"""The FastAPI app: routers, handlers and middleware put together. Holds no logic of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.http.access import AccessMiddleware
from service.http.consistency import consistency_router
from service.http.errors import install_error_handlers
from service.http.generate import generate_router
from service.http.guard import guard_routes, require_guards
from service.http.health import health_router
from service.http.infer import infer_router
from service.http.metrics import metrics_router
from service.http.models import models_router
from service.http.openapi import install_openapi
from service.http.repository import repository_router
from service.http.security import install_security
from service.http.settings import settings_router
from service.http.shared_memory import shared_memory_router
from service.http.statistics import statistics_router
from service.lifecycle import Service
from service.machine import normserve_version
from service.settings import Settings

__all__ = ["create_app"]

_DESCRIPTION = """\
Models that were exported and proved by NormServe, over the
[Open Inference Protocol](https://github.com/kserve/open-inference-protocol).
Every error's body is `{"error": "…"}`."""


def create_app(settings: Settings, *, service: Service | None = None) -> FastAPI:
    """The HTTP transport of a service.

    Reads no environment and does no work: a service of its own starts with the app's lifespan, and
    loads its models while the app answers already.

    Args:
        settings: of the service.
        service: what the app speaks for, when there is more to it than this app; whoever gives it
            starts and stops it.
    """
    served = Service(settings) if service is None else service

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        require_guards(app)
        async with served if service is None else nullcontext():
            yield

    # FastAPI's own page of documentation loads its scripts from a public network; this one serves
    # them itself.
    app = FastAPIOffline(
        title="NormServe",
        version=normserve_version(),
        description=_DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # the service traces itself, both transports alike
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    most = settings.max_request_bytes
    for router in (
        health_router(served.plane),
        statistics_router(served.plane),
        models_router(served.plane, max_request_bytes=most),
        repository_router(served.control, max_request_bytes=most),
        infer_router(
            served.plane, max_request_bytes=most, compression_level=settings.compression_level
        ),
        generate_router(served.plane, max_request_bytes=most),
        consistency_router(
            served.plane, examiner=served.examiner, fraction=settings.canary_fraction
        ),
        shared_memory_router(served.plane.regions, max_request_bytes=most),
        settings_router(served.plane, max_request_bytes=most),
        metrics_router(served.metrics),
    ):
        # as they are: a router that is included has the fields of its routes built once more
        app.router.routes += router.routes
    guard_routes(app, served.guard)
    install_error_handlers(app)
    install_openapi(app)
    install_security(app, served.guard)
    app.add_middleware(AccessMiddleware, traffic=served.traffic, tracing=served.tracing)
    return app
