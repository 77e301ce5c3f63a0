import json

import pytest

from bundle import Datatype, TensorSpec
from service.errors import LoadFailed, ParameterInvalid
from service.model_config import (
    config_as_json,
    config_of,
    read_config,
    read_config_file,
    read_json_config,
    read_labels,
)
from service.signature import Signature

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", datatype=Datatype.FP32, shape=("batch", 3, "width")),),
    outputs=(TensorSpec(name="names", datatype=Datatype.BYTES, shape=("batch", 2)),),
)


def as_json(written=None):
    text = None if written is None else read_config(written)
    return config_as_json(config_of("net", SIGNATURE, written=text))


def test_a_model_without_a_file_is_described_by_its_signature():
    config = as_json()
    assert (config["name"], config["platform"]) == ("net", "onnxruntime_onnx")
    assert config["max_batch_size"] == 0
    (given,), (returned,) = config["input"], config["output"]
    assert (given["name"], given["data_type"], given["dims"]) == ("x", "TYPE_FP32", [-1, 3, -1])
    assert (returned["data_type"], returned["dims"]) == ("TYPE_STRING", [-1, 2])


def test_dimensions_leave_out_the_batch_where_the_file_has_a_batch_size():
    config = as_json("max_batch_size: 8")
    assert config["max_batch_size"] == 8
    assert config["input"][0]["dims"] == [3, -1]


def test_what_the_file_says_of_a_tensor_is_kept():
    config = as_json('output { name: "names" label_filename: "labels.txt" }')
    assert config["output"][0]["label_filename"] == "labels.txt"
    assert config["output"][0]["dims"] == [-1, 2]


def test_wide_integers_are_numbers_at_any_depth():
    config = as_json(
        "version_policy { specific { versions: [ 9007199254740993 ] } }"
        'model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 } } }'
    )
    assert config["version_policy"]["specific"]["versions"] == [9007199254740993]
    assert config["model_warmup"][0]["inputs"]["x"]["dims"] == [4]
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize("text", ["max_batch_size: many", "no such thing", "input {"])
def test_a_file_that_is_none_is_refused(text):
    with pytest.raises(LoadFailed, match=r"config\.pbtxt cannot be read"):
        read_config(text)


def test_what_is_wrong_with_a_file_is_told_with_its_line():
    with pytest.raises(LoadFailed, match="2:17"):
        read_config('name: "m"\nmax_batch_size: many')


@pytest.mark.parametrize("name", ["max_batch_size", "maxBatchSize"])
def test_a_configuration_may_come_as_json(name):
    text = json.dumps({name: 8, "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}]})
    config = read_json_config(text)
    assert (config.max_batch_size, list(config.input[0].dims)) == (8, [-1])


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "8", "{", '{"no_such": 1}', '{"max_batch_size": "many"}', '{"input": 1}'),
        *('{"max_batch_size": 1e99}', '{"name": "a", "name": "b"}', '{"a":' * 2000),
    ],
)
def test_json_that_is_no_configuration_is_refused(text):
    with pytest.raises(ParameterInvalid, match="not the JSON of a ModelConfig"):
        read_json_config(text)


def test_labels_are_read_one_a_line(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    config = read_config('output { name: "y" label_filename: "labels.txt" } output { name: "z" }')
    assert read_labels(config, tmp_path) == {"y": ("cat", "dog")}


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "missing.txt"])
def test_labels_that_are_not_in_the_models_folder_are_refused(tmp_path, file):
    config = read_config(f'output {{ name: "y" label_filename: "{file}" }}')
    with pytest.raises(LoadFailed, match="labels"):
        read_labels(config, tmp_path)


def test_a_folder_without_a_file_has_no_configuration(tmp_path):
    assert read_config_file(tmp_path) is None


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "config.pbtxt").write_bytes(b"\xff\xfe")
    with pytest.raises(LoadFailed, match="cannot be read"):
        read_config_file(tmp_path)
