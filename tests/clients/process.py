"""`normserve serve` as a process of its own, on free ports."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.service.tiny import wait_for

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A server that is ready: its process, and where it listens (`host:port`)."""

    process: "subprocess.Popen[str]"
    http: str
    grpc: str
    lines: list[dict[str, object]]

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def port(self) -> int:
        return int(self.http.rpartition(":")[2])


@contextmanager
def served(repository: Path, *, is_ready: bool = True, **settings: object) -> Iterator[Served]:
    """Serve a repository until the block ends; the process must still run then, and end well.

    The block begins when the server is ready or, where it never will be, when it has loaded.
    """
    names = {
        "consistency_at_load": False,
        "metrics_port": 0,
        "concurrent_runs": 4,
    } | settings
    environment = {f"NORMSERVE_{name.upper()}": str(value) for name, value in names.items()}
    options = {
        "--repository": repository,
        "--http-port": 0,
        "--grpc-port": 0,
        "--log-format": "json",
    }
    arguments = [str(part) for option in options.items() for part in option]
    process = subprocess.Popen(
        [sys.executable, "-m", "normserve", "serve", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[dict[str, object]] = []
    listening = threading.Event()

    def read() -> None:
        for line in process.stderr:
            # what is no JSON is the traceback of a process that ends
            lines.append(json.loads(line) if line.startswith("{") else {"event": line})
            if lines[-1]["event"] == "listening":
                listening.set()
        listening.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert listening.wait(60)
        said = next((line for line in lines if line["event"] == "listening"), None)
        assert said is not None, lines[-20:]
        running = Served(process, str(said["url"]).removeprefix("http://"), said["grpc"], lines)
        wait_for(lambda: _loaded(running) is is_ready, seconds=60)
        yield running
        assert process.poll() is None, lines[-5:]
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def _loaded(server: Served) -> bool | None:
    """Whether it is ready, or nothing while it loads."""
    reply = httpx.get(f"{server.url}/v2/health/ready")
    is_loading = reply.status_code == 503 and reply.json()["error"].startswith("loading")
    return None if is_loading else reply.status_code == 200
