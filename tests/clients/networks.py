"""The models that the clients ask: one of each datatype and one of each way of being asked."""

from pathlib import Path

import numpy as np
from onnx import helper

from bundle import Datatype
from tests.service import tiny

SLOW = 400
"""Rounds of `tiny.slow`: long beside a deadline of a tenth of a second, short beside a test."""


def write_all(folder: Path) -> None:
    for datatype in Datatype:
        tiny.write_plain(folder, f"identity-{datatype.lower()}", tiny.identity(datatype))
    tiny.write_plain(folder, "scalar", tiny.identity(Datatype.FP32, ()))
    tiny.write_plain(folder, "free", tiny.identity(Datatype.FP32, ("a", "b")))
    tiny.write_plain(folder, "add", tiny.add_and_subtract())
    tiny.write_plain(folder, "mixed", mixed())
    tiny.write_plain(folder, "poet", poet())
    tiny.write_plain(folder, "resnet", resnet())
    tiny.write_plain(folder, "slow", tiny.slow(SLOW))
    tiny.write_plain(folder, "changing", tiny.scale(2.0))
    for version in (2, 9, 10):
        tiny.write_plain(folder, "versions", tiny.scale(float(version)), version=version)
    (folder / "versions" / "config.pbtxt").write_text("version_policy { all {} }\n")
    tiny.write_plain(folder, "classifier", tiny.identity(Datatype.FP32, ("batch", 5)))
    (folder / "classifier" / "labels.txt").write_text("ant\nbee\ncat\ndog\nelk\n")
    (folder / "classifier" / "config.pbtxt").write_text(
        'max_batch_size: 8\noutput [{ name: "y" dims: [5] data_type: TYPE_FP32'
        ' label_filename: "labels.txt" }]\n'
    )


def mixed():
    """Three inputs of three datatypes, three outputs, in another order."""
    tensors = {"f": Datatype.FP32, "i": Datatype.INT64, "s": Datatype.BYTES}
    names = {"s": "out_s", "f": "out_f", "i": "out_i"}
    return tiny.build(
        [helper.make_node("Identity", [name], [out]) for name, out in names.items()],
        {name: (datatype, ("n",)) for name, datatype in tensors.items()},
        {out: (tensors[name], ("n",)) for name, out in names.items()},
    )


def resnet():
    """Takes and gives what the zoo's does, so that the documents' examples can ask it."""
    return tiny.build(
        [
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        {"pixels": (Datatype.FP32, ("batch", 1, 8, 8))},
        {"logits": (Datatype.FP32, ("batch", 10))},
        {"w": np.ones((64, 10), np.float32)},
    )


def poet():
    """Text and a temperature in, text out: what the generate extension is for."""
    return tiny.build(
        [
            helper.make_node("StringConcat", ["text_input", "tail"], ["text_output"]),
            helper.make_node("Identity", ["temperature"], ["used"]),
        ],
        {"text_input": (Datatype.BYTES, ("n",)), "temperature": (Datatype.FP32, (1,))},
        {"text_output": (Datatype.BYTES, ("n",)), "used": (Datatype.FP32, (1,))},
        {"tail": np.array([" barks"], object)},
    )


def values(datatype: Datatype) -> np.ndarray:
    """A row of three values of a datatype, its limits among them."""
    dtype = datatype.numpy
    if datatype is Datatype.BYTES:
        return np.array([[b"plain", "é \U0001f40d".encode(), b""]], object)
    if datatype is Datatype.BOOL:
        return np.array([[True, False, True]])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype.name)
        return np.array([[limits.min, limits.max, 1]], dtype)
    return np.array([[0.1, -2.5, 3.0]]).astype(dtype)
