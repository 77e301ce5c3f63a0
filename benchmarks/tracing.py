"""What tracing costs an inference, on the thread of the event loop.

Services that differ only in what they trace answer the same small request over HTTP, without a
network, in turns in this one process. The number is the ratio of the least processor time of that
thread a request (traced / tracing off), over all rounds: what else the machine does falls on all of
them. Ratios under 1.2 mean nothing on a shared machine.

    python benchmarks/tracing.py [--rounds 25] [--requests 200]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import onnx
import uvloop
from onnx import helper
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from service.http import create_app
from service.lifecycle import Service
from service.logs import configure_logging
from service.settings import Settings
from service.tracing import Tracing

SETTLE_S = 0.4
"""Between two turns: the thread that takes the spans of one is not to slow down the next."""

WAYS: Mapping[str, tuple[bool, Mapping[str, Sequence[str]]]] = {
    "tracing off": (False, {}),
    "on, level OFF": (True, {"trace_level": ["OFF"]}),
    "on, none is due": (True, {"trace_rate": ["0"]}),
    "on, every request": (True, {}),
}


class Nowhere(SpanExporter):
    """Takes spans and sends none."""

    def export(self, _: Sequence[ReadableSpan]) -> SpanExportResult:
        """Drop them."""
        return SpanExportResult.SUCCESS


def write_model(repository: Path) -> None:
    """A model that gives its input back."""
    tensors = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n"]) for n in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    folder = repository / "identity" / "1"
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")


async def ask(app: Any) -> None:
    """One inference, without a socket."""
    tensor = {"name": "x", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    body = json.dumps({"inputs": [tensor]}).encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v2/models/identity/infer",
        "raw_path": b"/v2/models/identity/infer",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"the service answered {message}")

    await app(scope, receive, send)


async def measure(repository: Path, *, rounds: int, requests: int) -> dict[str, float]:
    """Seconds a request, for each way."""
    settings = Settings(repository=repository, consistency_at_load=False, concurrent_runs=1)
    async with AsyncExitStack() as stack:
        apps = {}
        for way, (is_on, changes) in WAYS.items():
            make = (lambda: BatchSpanProcessor(Nowhere())) if is_on else None
            service = Service(settings, tracing=Tracing(make))
            await stack.enter_async_context(service)
            while not service.plane.readiness().ready:  # noqa: ASYNC110  # there is no event
                await asyncio.sleep(0.01)
            service.plane.traces.update(changes, model=None)
            apps[way] = create_app(settings, service=service)
        least = dict.fromkeys(apps, float("inf"))
        for _ in range(rounds):
            for way, app in apps.items():
                await asyncio.sleep(SETTLE_S)
                began = time.thread_time()
                for _ in range(requests):
                    await ask(app)
                least[way] = min(least[way], (time.thread_time() - began) / requests)
        return least


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--requests", type=int, default=200)
    chosen = parser.parse_args()
    configure_logging(log_format="json", level="error")
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        least = uvloop.run(measure(Path(folder), rounds=chosen.rounds, requests=chosen.requests))
    off = least["tracing off"]
    for way, seconds in least.items():
        print(f"{way:20} {seconds / off:5.2f}")


if __name__ == "__main__":
    main()
