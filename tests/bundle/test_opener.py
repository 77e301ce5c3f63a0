import threading

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bundle import (
    Datatype,
    InputInvalid,
    ModelInvalid,
    open_model,
)
from bundle.providers import CPU, CUDA
from tests.bundle.onnx_models import group_norm, identity, model, save, value

TYPES = [t for t in Datatype if t not in (Datatype.BYTES, Datatype.BF16)]


@pytest.mark.parametrize("datatype", TYPES)
def test_every_numeric_type_passes_unchanged(datatype):
    opened = open_model(identity(datatype.onnx))
    x = np.array([0, 1, 1, 0], dtype=datatype.numpy)
    result = opened.run({"x": x})["y"]
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result, x)
    assert opened.inputs[0].datatype is datatype


@pytest.mark.parametrize("shape", [(3,), (0,), ()])
def test_bfloat16_passes_bit_for_bit(shape):
    opened = open_model(identity(TensorProto.BFLOAT16, [None] * len(shape)))
    x = np.random.default_rng(0).normal(size=shape).astype(ml_dtypes.bfloat16)
    result = opened.run({"x": x})["y"]
    assert result.dtype == x.dtype
    assert result.shape == shape
    assert result.tobytes() == x.tobytes()


@pytest.mark.parametrize(
    "elements",
    [
        [b"plain", "é".encode(), b"", b"zero\0inside", b"zero at the end\0"],
        [b"\xff\xfe", "é".encode(), b"\x80", bytes(range(256))],
        [],
    ],
)
def test_bytes_pass_whatever_they_hold(elements):
    opened = open_model(identity(TensorProto.STRING))
    x = np.empty(len(elements), dtype=object)
    x[:] = elements
    assert opened.run({"x": x})["y"].tolist() == elements


def test_text_is_taken_as_its_utf8_bytes():
    opened = open_model(identity(TensorProto.STRING))
    assert opened.run({"x": np.array(["é"], object)})["y"].tolist() == ["é".encode()]


def test_a_request_that_cannot_be_escaped_is_refused():
    opened = open_model(identity(TensorProto.STRING))
    mixed = np.array([b"\xff", "\U0010fc80".encode()], object)
    with pytest.raises(InputInvalid, match=r"U\+10FC80"):
        opened.run({"x": mixed})


def test_an_element_that_is_no_bytes_is_refused():
    opened = open_model(identity(TensorProto.STRING))
    with pytest.raises(InputInvalid, match="a BYTES element is a int"):
        opened.run({"x": np.array([1], object)})


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({}, "got the inputs none; the model wants 'x'"),
        ({"z": np.float32([1])}, "got the inputs 'z'; the model wants 'x'"),
        ({"x": np.float64([1])}, "input 'x' is FP64; the model wants FP32"),
        ({"x": np.zeros((1, 2, 3), np.float32)}, "Invalid rank"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(feeds, says):
    opened = open_model(identity())
    with pytest.raises(InputInvalid, match=says):
        opened.run(feeds)


def test_a_value_that_the_kernel_refuses_is_the_inputs_fault_and_the_next_run_works():
    gather = model(
        [helper.make_node("Gather", ["w", "x"], ["y"])],
        [value("x", ["n"], TensorProto.INT64)],
        [value("y", ["n"])],
        weights={"w": np.float32([1, 2])},
    )
    opened = open_model(gather)
    with pytest.raises(InputInvalid, match="out of data bounds") as refused:
        opened.run({"x": np.int64([5])})
    assert "onnxruntime_src" not in str(refused.value)
    assert opened.run({"x": np.int64([1])})["y"].tolist() == [2.0]


def test_only_the_wanted_outputs_are_computed_in_the_wanted_order():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["x"], ["b"])]
    opened = open_model(model(nodes, [value("x", ["n"])], [value("a", ["n"]), value("b", ["n"])]))
    assert list(opened.run({"x": np.float32([1])}, ["b"])) == ["b"]
    assert list(opened.run({"x": np.float32([1])})) == ["a", "b"]
    assert list(opened.run({"x": np.float32([1])}, [])) == ["a", "b"]


def test_dimensions_keep_their_names():
    proto = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", ["batch", 3, None])],
        [value("y", ["batch", 3, None])],
    )
    assert open_model(proto).inputs[0].shape == ("batch", 3, "?")


def test_the_placement_names_every_node_and_its_provider():
    opened = open_model(identity())
    assert opened.provider == CPU
    assert opened.placement.counts() == {CPU: 1}
    assert opened.placement.elsewhere(CPU) == ()
    assert len(opened.placement.elsewhere(CUDA)) == 1


def test_a_model_runs_in_several_threads_at_once():
    opened = open_model(identity(shape=("n", "m")))
    answers = {}

    def work(number):
        x = np.full((50, 50), number, np.float32)
        answers[number] = all((opened.run({"x": x})["y"] == number).all() for _ in range(20))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(range(8), True)


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x07"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelInvalid, match=r"model\.onnx"):
        open_model(path)


def test_a_missing_file_is_refused_by_its_name(tmp_path):
    with pytest.raises(ModelInvalid, match="there is no model file"):
        open_model(tmp_path / "model.onnx")


def test_an_unknown_operator_is_refused_with_its_name(tmp_path):
    proto = model([helper.make_node("Nope", ["x"], ["y"])], [value("x", [1])], [value("y", [1])])
    with pytest.raises(ModelInvalid, match="Nope"):
        open_model(save(proto, tmp_path / "model.onnx"))


def test_external_data_is_read_from_beside_the_file_also_when_the_graph_is_lowered(tmp_path):
    weights = {"s": np.ones(8, np.float32), "b": np.arange(8, dtype=np.float32)}
    path = tmp_path / "model.onnx"
    onnx.save_model(
        group_norm(8, 2, weights),
        path,
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    opened = open_model(path)
    assert opened.lowered == ("gn",)
    result = opened.run({"x": np.ones((1, 8, 2, 2), np.float32)})["y"]
    np.testing.assert_allclose(result[0, :, 0, 0], weights["b"])


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname"])
def test_external_data_outside_the_folder_is_refused(tmp_path, location):
    proto = group_norm(1, 1, {"s": np.ones(1, np.float32), "b": np.ones(1, np.float32)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    path = tmp_path / "model" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelInvalid, match="outside its folder"):
        open_model(path)


@pytest.mark.parametrize("spinning", [False, True])
def test_threads_that_wait_leave_their_cores_unless_they_are_told_to_keep_them(
    monkeypatch, spinning
):
    asked = []
    start = onnxruntime.InferenceSession

    def session(content, options, **others):
        asked.append(options)
        return start(content, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_model(identity(), threads=2, spinning=spinning)
    for pool in ("intra_op", "inter_op"):
        entry = asked[0].get_session_config_entry(f"session.{pool}.allow_spinning")
        assert entry == str(int(spinning))
