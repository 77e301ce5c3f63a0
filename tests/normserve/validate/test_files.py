from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.bundle.onnx_models import model, value
from tests.normserve.validate.cases import centring, findings, run, save, scaling

SHIPPED = Path(onnx.__file__).parent / "backend" / "test" / "data"


def checked(path, *options):
    done = run(path, "--json", "--skip", "determinism", *options)
    return done.status, findings(done.report)


def batch_norm(opset, *, ir_version=3, **attributes):
    """A batch norm as old exporters wrote it: its statistics are inputs with initial values."""
    weights = {name: np.float32([0.5, 1.0, 2.0]) for name in ("gamma", "beta", "mean", "var")}
    node = helper.make_node("BatchNormalization", ["x", *weights], ["y"], name="bn", **attributes)
    proto = model(
        [node],
        [value("x", [2, 3, 4, 4]), *(value(name, [3]) for name in weights)],
        [value("y", [2, 3, 4, 4])],
        weights=weights,
        opset=opset,
    )
    proto.ir_version = ir_version
    return proto


@pytest.mark.parametrize(
    "proto",
    [
        batch_norm(7),
        batch_norm(7, spatial=1),
        batch_norm(8),
        batch_norm(9, ir_version=4),
        batch_norm(14, ir_version=7),
    ],
    ids=["7", "7-spatial", "8", "9", "14"],
)
def test_a_file_of_an_old_opset_passes(tmp_path, proto):
    status, made = checked(save(proto, tmp_path / "old.onnx"))
    assert status == 0
    assert made["file"]["status"] == "pass"
    assert made["optimization-parity"]["status"] == "pass"
    assert made["batch-invariance"]["status"] == "not_applicable"


@pytest.mark.parametrize("name", ["light/light_squeezenet.onnx", "light/light_densenet121.onnx"])
def test_the_old_networks_that_onnx_ships_are_examined(name):
    done = run(SHIPPED / name, "--json", "--check", "file", "--check", "batch-invariance")
    assert done.status == 0
    assert findings(done.report)["file"]["status"] == "pass"


@pytest.mark.parametrize("name", ["BatchNorm1d_3d_input_eval", "BatchNorm2d_eval"])
def test_a_file_that_is_too_old_for_the_runtime_fails_with_the_way_to_convert_it(name):
    path = SHIPPED / "pytorch-converted" / f"test_{name}" / "model.onnx"
    status, made = checked(path)
    assert status == 1
    assert set(made) == {"file"}
    assert "BatchNormalization(6)" in made["file"]["meaning"]
    assert "valid ONNX, opset 6" in made["file"]["meaning"]
    assert "version_converter" in made["file"]["remedy"]


def test_the_conversion_that_is_advised_makes_such_a_file_pass(tmp_path):
    old = onnx.load_model(SHIPPED / "pytorch-converted" / "test_BatchNorm2d_eval" / "model.onnx")
    converted = onnx.version_converter.convert_version(old, 21)
    status, made = checked(save(converted, tmp_path / "converted.onnx"))
    assert (status, made["file"]["status"]) == (0, "pass")


@pytest.mark.parametrize("attributes", [{"is_test": 1}, {"consumed_inputs": [0, 0, 0, 1, 1]}])
def test_an_attribute_that_the_opset_no_longer_has_is_named(tmp_path, attributes):
    proto = batch_norm(9, ir_version=4, **attributes)
    status, made = checked(save(proto, tmp_path / "old.onnx"))
    assert status == 1
    assert next(iter(attributes)) in made["file"]["meaning"]


def test_what_the_standard_refuses_and_the_runtime_takes_is_a_warning(tmp_path):
    proto = scaling()
    proto.graph.name = ""
    status, made = checked(save(proto, tmp_path / "nameless.onnx"))
    assert status == 0
    assert made["file"]["status"] == "warn"
    assert "'name' of 'graph'" in made["file"]["meaning"]


def test_an_operator_that_the_runtime_does_not_have_is_named(tmp_path):
    proto = scaling()
    proto.graph.node[0].op_type = "Frobnicate"
    proto.graph.node[0].domain = "com.example"
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    status, made = checked(save(proto, tmp_path / "custom.onnx"))
    assert status == 1
    assert "Frobnicate" in made["file"]["meaning"]


def test_data_that_are_missing_beside_the_file_are_named(tmp_path):
    proto = scaling()
    onnx.save_model(
        proto,
        tmp_path / "split.onnx",
        save_as_external_data=True,
        location="gone",
        size_threshold=0,
    )
    assert checked(tmp_path / "split.onnx")[0] == 0
    (tmp_path / "gone").unlink()
    status, made = checked(tmp_path / "split.onnx")
    assert status == 1
    assert set(made) == {"file"}
    assert "gone" in made["file"]["meaning"]


def test_a_model_whose_rows_depend_on_each_other_fails_with_the_operator_named(tmp_path):
    status, made = checked(save(centring(), tmp_path / "centring.onnx"))
    assert status == 1
    assert made["batch-invariance"]["status"] == "fail"
    assert "ReduceMean 'batch_mean'" in made["batch-invariance"]["meaning"]


def picky():
    """A model that takes nothing but 5 rows of 11: its reshape holds the sizes."""
    return model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [value("x", ["rows", "columns"])],
        [value("y", [11, 5])],
        weights={"shape": np.int64([11, 5])},
    )


def test_a_model_of_which_no_input_is_known_is_a_warning_that_says_what_to_do(tmp_path):
    status, made = checked(save(picky(), tmp_path / "picky.onnx"))
    assert status == 0
    assert made["threads-parity"]["status"] == "not_applicable"
    assert made["inputs"]["status"] == "warn"
    assert "no input was found" in made["inputs"]["meaning"]
    assert "test_data_set_0/input_0.pb" in made["inputs"]["remedy"]


def test_samples_beside_a_file_are_what_it_is_run_with(tmp_path):
    path = save(picky(), tmp_path / "picky.onnx")
    sample = tmp_path / "test_data_set_0" / "input_0.pb"
    sample.parent.mkdir()
    sample.write_bytes(numpy_helper.from_array(np.ones((5, 11), np.float32)).SerializeToString())
    status, made = checked(path)
    assert status == 0
    assert made["threads-parity"]["status"] == "pass"
    assert "samples, such as x (5, 11)" in made["inputs"]["meaning"]
    sample.write_bytes(b"damaged")
    assert checked(path)[1]["inputs"]["status"] == "warn"


def test_a_model_whose_tensors_cannot_be_served_is_told(tmp_path):
    proto = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", ["n"], TensorProto.COMPLEX64)],
        [value("y", ["n"], TensorProto.COMPLEX64)],
    )
    status, made = checked(save(proto, tmp_path / "complex.onnx"))
    assert status == 1
    assert made["file"]["status"] == "fail"


def test_a_plain_triton_folder_is_examined_without_a_manifest(tmp_path):
    save(scaling(), tmp_path / "plain" / "3" / "model.onnx")
    (tmp_path / "plain" / "config.pbtxt").write_text('name: "plain"\n')
    done = run(tmp_path, "--json", "--no-served", "--skip", "determinism")
    assert done.status == 0
    assert done.report["targets"][0]["kind"] == "plain"
    assert findings(done.report)["digests"]["status"] == "not_applicable"


def test_a_version_that_holds_no_onnx_model_cannot_be_examined(tmp_path):
    save(scaling(), tmp_path / "good" / "1" / "model.onnx")
    (tmp_path / "other" / "1").mkdir(parents=True)
    (tmp_path / "other" / "1" / "model.plan").touch()
    done = run(tmp_path, "--json", "--check", "file")
    assert done.status == 2
    assert [target["status"] for target in done.report["targets"]] == ["pass", "error"]
