"""Tiny ONNX models, repositories of them, and a live server, for the tests of the service."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import onnx
import uvicorn
from onnx import helper, numpy_helper

from bundle import (
    Bundle,
    Datatype,
    Manifest,
    Provenance,
    ProviderPolicy,
    Sample,
    Tolerance,
    write_bundle,
)
from bundle.certificate import BatchCertificate, Cell, Neighbours, Standing, Verdict
from bundle.tensors import TensorSpec
from service.batching import Batchers, Plan
from service.budget import Budget
from service.consistency import Consistency, Placement, Report, Source, Yardstick
from service.cores import Cores
from service.http import create_app
from service.settings import Settings

Shape = Sequence[int | str | None]

BUDGET = Budget(cores=Cores(2.0, "setting"), runs=2, threads=1)


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[Datatype, Shape]],
    outputs: Mapping[str, tuple[Datatype, Shape]],
    weights: Mapping[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, t.onnx, s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info(n, t.onnx, s) for n, (t, s) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, producer_name="tests"
    )


def identity(datatype: Datatype, shape: Shape = ("rows", 3)) -> onnx.ModelProto:
    return build(
        [helper.make_node("Identity", ["x"], ["y"])],
        {"x": (datatype, shape)},
        {"y": (datatype, shape)},
    )


def scale(factor: float) -> onnx.ModelProto:
    """y = factor * x, so that versions can be told apart."""
    return build(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        {"x": (Datatype.FP32, ("rows", 2))},
        {"y": (Datatype.FP32, ("rows", 2))},
        {"factor": np.array(factor, np.float32)},
    )


def add_and_subtract() -> onnx.ModelProto:
    """Two inputs, two outputs whose order is neither alphabetical nor that of the inputs."""
    tensor = (Datatype.INT32, ("rows", 2))
    return build(
        [helper.make_node("Add", ["a", "b"], ["z"]), helper.make_node("Sub", ["a", "b"], ["m"])],
        {"a": tensor, "b": tensor},
        {"z": tensor, "m": tensor},
    )


def embedding() -> onnx.ModelProto:
    """y = table[x] with three rows: other indices are refused only while it runs."""
    return build(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        {"x": (Datatype.INT64, ("length",))},
        {"y": (Datatype.FP32, ("length", 2))},
        {"table": np.arange(6, dtype=np.float32).reshape(3, 2)},
    )


def two_dynamic() -> onnx.ModelProto:
    return identity(Datatype.FP32, ("rows", "columns"))


def batch_mean() -> onnx.ModelProto:
    """Takes the mean of the whole batch away: a row's answer depends on its neighbours."""
    tensor = (Datatype.FP32, ("rows", 2))
    return build(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], name="over_the_batch"),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        {"x": tensor},
        {"y": tensor},
        {"axes": np.array([0], np.int64)},
    )


def slow(rounds: int) -> onnx.ModelProto:
    """Multiplies a large matrix with itself again and again."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"]),
            helper.make_node("Identity", ["go"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, [512, 512]),
        ],
        [
            helper.make_tensor_value_info("more", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", onnx.TensorProto.FLOAT, [512, 512]),
        ],
    )
    return build(
        [
            helper.make_node("Loop", ["rounds", "", "w"], ["end"], body=body),
            helper.make_node("ReduceMean", ["end"], ["mean"], keepdims=0),
            helper.make_node("Add", ["x", "mean"], ["y"]),
        ],
        {"x": (Datatype.FP32, ("n",))},
        {"y": (Datatype.FP32, ("n",))},
        {"rounds": np.array(rounds), "w": np.zeros((512, 512), np.float32)},
    )


def consistency(name: str = "m", version: int = 1) -> Consistency:
    """That of a model of which nothing is known, and whose files are nowhere."""
    source = Source(
        name=name,
        version=version,
        folder=Path("nowhere"),
        manifest_sha256=None,
        policy=ProviderPolicy.CPU,
        threads=1,
        model_sha256="0" * 64,
    )
    return Consistency(source, placement=Placement(provider="CPUExecutionProvider"))


def consistency_of(folder: Path) -> Consistency:
    """That of a plain version folder, as its loader makes it."""
    model = folder / "model.onnx"
    source = Source(
        name=folder.parent.name,
        version=int(folder.name),
        folder=folder,
        manifest_sha256=None,
        policy=ProviderPolicy.CPU,
        threads=1,
        model_sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
    )
    return Consistency(source, placement=Placement(provider="CPUExecutionProvider"))


def report(of: Consistency, *, yardstick: Yardstick | None = None, **certificate: object) -> Report:
    """A report as an examination gives it, but for what the test says of the certificate."""
    key = of.key
    usual = {
        "verdict": Verdict.BITWISE,
        "reason": "as a test says",
        "model_sha256": key.model_sha256,
        "runtime": key.runtime,
        "provider": key.provider,
        "device": key.device,
        "threads": key.threads,
        "standing": Standing.INDEPENDENT,
        "cells": (
            Cell(size=3, neighbours=Neighbours.DISTINCT, source="random", rows=3, worst=0.0),
        ),
        "created": datetime.now(UTC),
    }
    return Report(
        key=key,
        created=datetime.now(UTC),
        seconds=0.1,
        thorough=False,
        findings=(),
        certificate=BatchCertificate(**(usual | certificate)),
        yardstick=yardstick,
        paces=(),
    )


class Runner:
    """What a test computes with in a model's place; `run` is the test's."""

    def require_room(self):
        """There always is."""

    def submit(self, inputs, outputs, *, priority=0, timeout_us=0):
        computing = self.run(inputs, outputs, priority=priority, timeout_us=timeout_us)
        return asyncio.ensure_future(computing)

    async def close(self) -> None:
        """There is nothing to end."""


def batchers() -> Batchers:
    """Batchers of a service that is never full."""
    return Batchers(
        budget=BUDGET, max_waiting=100, max_waiting_bytes=2**30, max_rows=64, plan=Plan()
    )


def write_plain(
    repository: Path, name: str, model: onnx.ModelProto | bytes, *, version: int = 1
) -> Path:
    """A version folder as Triton has it, without a manifest."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    content = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "model.onnx").write_bytes(content)
    return folder


def write_config(repository: Path, name: str, text: str) -> None:
    """The configuration of a model, in the place of the one that it has."""
    (repository / name).mkdir(exist_ok=True)
    (repository / name / "config.pbtxt").write_text(text)


def write_verified(
    repository: Path,
    name: str,
    *,
    version: int = 1,
    factor: float = 2.0,
    says: float | None = None,
    samples: bool = True,
    batch_dependent: tuple[str, ...] = (),
) -> Bundle:
    """A bundle of `scale(factor)` whose golden sample is that of `scale(says)`."""
    x = np.array([[1.0, 2.0]], np.float32)
    sample = Sample({"x": x}, {"y": x * np.float32(factor if says is None else says)})
    tensors = {n: TensorSpec(name=n, datatype="FP32", shape=("rows", 2)) for n in ("x", "y")}
    manifest = Manifest(
        name=name,
        version=version,
        inputs=(tensors["x"],),
        outputs=(tensors["y"],),
        files={},
        provenance=Provenance(
            source="tests", checkpoint_sha256=None, opset=21, versions={}, created=datetime.now(UTC)
        ),
        norms=(),
        findings=(),
        tolerances={"y": Tolerance(atol=1e-6, rtol=0.0, source="a test")},
        batch_dependent=batch_dependent,
    )
    return write_bundle(
        repository,
        model=scale(factor),
        manifest=manifest,
        samples=[sample] if samples else [],
    )


@contextmanager
def live_server(settings: Settings, *, wait_for_ready: bool = True) -> Iterator[str]:
    """A server on a free port in a thread; gives its URL."""
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings), port=0, log_config=None, access_log=False, lifespan="on"
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        if wait_for_ready:
            wait_for(lambda: not _is_loading(url))
        yield url
    finally:
        server.should_exit = True
        thread.join()


def _is_loading(url: str) -> bool:
    reply = httpx.get(f"{url}/v2/health/ready")
    return reply.status_code == 503 and reply.json()["error"].startswith("loading")


def wait_for(condition, *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come in time"
        time.sleep(0.01)
