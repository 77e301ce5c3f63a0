"""The HTTP transport: routes, status codes, bodies and headers. Computes nothing."""

from service.http.app import create_app

__all__ = ["create_app"]
