"""The app of the metrics port: what probes and scrapers ask, who have no keys. Nothing else."""

from fastapi import FastAPI

from service.http.access import AccessMiddleware
from service.http.errors import install_error_handlers
from service.http.health import health_router
from service.http.metrics import metrics_router
from service.lifecycle import Service

__all__ = ["create_monitoring_app"]


def create_monitoring_app(service: Service) -> FastAPI:
    """Health and metrics of a service, which others start and stop."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.include_router(health_router(service.plane))
    app.include_router(metrics_router(service.metrics))
    install_error_handlers(app)
    app.add_middleware(AccessMiddleware, traffic=service.traffic, tracing=service.tracing)
    return app
