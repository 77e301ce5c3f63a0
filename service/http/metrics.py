"""The metrics page, in the format that a scraper asks for. Knows no metric."""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

__all__ = ["metrics_router"]


def metrics_router(metrics: CollectorRegistry) -> APIRouter:
    """The route of the metrics."""
    router = APIRouter(tags=["server"])

    @router.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def read(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        # off the loop: with a hundred models it takes longer than a request should wait for it
        page = await asyncio.to_thread(encode, metrics)
        return Response(page, headers={"Content-Type": media_type})

    return router
