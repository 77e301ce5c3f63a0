"""Processor time of reading a JSON request of a 3×224×224 image: ours against the usual ways.

In one process, in turns: 602 KB of numbers are some 3 MB of JSON.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from serving.scale import Run

from bundle import Datatype, TensorSpec
from normserve.bench.shots import HTTP_JSON, forms
from service.codec import decode_request
from service.signature import Signature

__all__ = ["Decoding", "measure_decoding"]

_SHAPE = (3, 224, 224)


@dataclass(frozen=True, slots=True)
class Decoding:
    """Milliseconds of processor time a request, a round each.

    Attributes:
        body_bytes: of the request.
        ours_ms: `service.codec`, with all that it checks.
        orjson_ms: ``orjson.loads`` and ``numpy.array``.
        json_ms: ``json.loads`` and ``numpy.array``.
    """

    body_bytes: int
    ours_ms: tuple[float, ...]
    orjson_ms: tuple[float, ...]
    json_ms: tuple[float, ...]


def measure_decoding(run: Run) -> Decoding:
    """Measure, after all ways have given the same array.

    Raises:
        AssertionError: they have not.
    """
    row = np.random.default_rng(1).random((1, *_SHAPE), dtype=np.float32)
    body = forms("image", {"x": row})[HTTP_JSON].body
    spec = TensorSpec(name="x", datatype=Datatype.FP32, shape=("batch", *_SHAPE))
    answer = TensorSpec(name="y", datatype=Datatype.FP32, shape=("batch", 1000))
    signature = Signature(inputs=(spec,), outputs=(answer,))

    def usual(loads: Callable[[bytes], Any]) -> np.ndarray:
        (tensor,) = loads(body)["inputs"]
        return np.array(tensor["data"], np.float32).reshape(tensor["shape"])

    ways: dict[str, Callable[[], np.ndarray]] = {
        "ours": lambda: decode_request(body, signature).request.inputs["x"],
        "orjson": lambda: usual(orjson.loads),
        "json": lambda: usual(json.loads),
    }
    for way in ways.values():
        np.testing.assert_array_equal(way(), row)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(run.scale.rounds):
        run.say(f"round {number + 1} of {run.scale.rounds}")
        for name, way in ways.items():
            began = time.process_time()
            for _ in range(run.scale.decodings):
                way()
            times[name].append((time.process_time() - began) / run.scale.decodings * 1e3)
    return Decoding(len(body), tuple(times["ours"]), tuple(times["orjson"]), tuple(times["json"]))
