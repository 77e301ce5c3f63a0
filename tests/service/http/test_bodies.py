import asyncio
import gzip

import pytest
from fastapi import Request

from service.errors import BodyTooLarge
from service.http.bodies import read_body

LIMIT = 2**23


def asked(body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-encoding", b"gzip")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize(
    ("size", "is_elsewhere"), [(1000, False), (2**20, False), (2**20 + 1, True), (LIMIT, True)]
)
async def test_what_becomes_large_is_decompressed_on_another_thread(
    monkeypatch, size, is_elsewhere
):
    threads = []
    to_thread = asyncio.to_thread

    async def on_thread(function, *args, **kwargs):
        threads.append(function)
        return await to_thread(function, *args, **kwargs)

    monkeypatch.setattr(asyncio, "to_thread", on_thread)
    body = b" " * size
    assert await read_body(asked(gzip.compress(body)), limit=LIMIT) == body
    assert bool(threads) is is_elsewhere


async def test_what_becomes_too_large_is_refused():
    with pytest.raises(BodyTooLarge, match=str(LIMIT)):
        await read_body(asked(gzip.compress(b" " * (LIMIT + 1))), limit=LIMIT)
