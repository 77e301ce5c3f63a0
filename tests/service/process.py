"""The service as a process of its own, on free ports."""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.service import tiny

__all__ = ["children", "process", "workers"]

PROGRAM = "from service import load_settings, serve; serve(load_settings())"


@contextmanager
def process(
    repository: object, *, verify: ssl.SSLContext | bool = True, **settings: object
) -> Iterator[tuple[Any, str]]:
    """A server that is ready; gives it and its URL.

    Its log is in ``lines``, each an object, and the one that says where it listens in
    ``listening``.
    """
    names = {
        "repository": repository,
        "http_port": 0,
        "grpc_port": 0,
        "metrics_port": 0,
        "log_format": "json",
    } | settings
    environment = {f"NORMSERVE_{k.upper()}": str(v) for k, v in names.items()}
    server: Any = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    server.lines, server.listening = [], None
    told = threading.Event()

    def read() -> None:
        for line in server.stderr:
            server.lines.append(_event(line))
            if server.lines[-1]["event"] == "listening":
                server.listening = server.lines[-1]
                told.set()
        told.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert told.wait(60)
        assert server.listening, server.lines
        url = server.listening["url"]
        with httpx.Client(verify=verify) as client:
            tiny.wait_for(lambda: _is_ready(client, url))
        yield server, url
    finally:
        server.kill()
        server.wait()
        reader.join()
        server.stderr.close()


def children(pid: int) -> list[int]:
    """The processes that a process has started and that run."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def workers(server: Any) -> list[int]:
    """The processes of a server's models: the children of the one that they are forked from."""
    return [pid for child in children(server.pid) for pid in children(child)]


def _event(line: str) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return {"event": "no JSON", "text": line}
    return event


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False
