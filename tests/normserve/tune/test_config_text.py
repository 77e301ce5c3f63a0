import pytest

from normserve.tune.config_text import rewritten
from service.errors import LoadFailed
from service.model_config import read_config

TEXT = """# ours, since 2024 { "not a field"
name: "m"   # its name
platform: 'onnxruntime_onnx';
max_batch_size: -0
input [ { name: "a:b # { \\" ]" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
# cores
instance_group { count: 1 kind: KIND_CPU }
parameters: { key: "intra_op_thread_count" value: { string_value: "1" } }
version_policy: { latest < num_versions: 2 > }
parameters { key: "ours" value { string_value: "x" "y" } }
# the end
"""


def changed(text, *fields, **parameters):
    config = read_config(text)
    for name, value in parameters.items():
        config.parameters[name].string_value = value
    return rewritten(text, config, set(fields)), config


def test_nothing_changed_is_the_same_text():
    assert changed(TEXT)[0] == TEXT


def test_what_is_not_changed_stays_as_it_was_written():
    text, config = changed(TEXT, "parameters", intra_op_thread_count="4")
    assert read_config(text) == config
    kept = [line for line in TEXT.splitlines() if not line.startswith("parameters")]
    assert [line for line in text.splitlines() if line in kept] == kept
    assert text.count("ours") == 2  # in a comment, and as a key


def test_a_field_that_was_not_there_comes_last():
    text, _ = changed('name: "m"', "parameters", a="1")
    assert text.startswith('name: "m"\nparameters {')


def test_a_field_may_go():
    config = read_config(TEXT)
    config.ClearField("instance_group")
    text = rewritten(TEXT, config, {"instance_group"})
    assert "instance_group" not in text
    assert read_config(text) == config
    assert "# cores\nparameters" in text


@pytest.mark.parametrize("text", ["", "# nothing\n", 'name: "a"\n\n\nbackend: "onnxruntime"'])
def test_any_text_can_be_added_to(text):
    made, config = changed(text, "parameters", a="1", b='with "quotes"')
    assert read_config(made) == config
    assert made.startswith(text)


def test_a_text_on_one_line_can_be_changed():
    text = 'name: "m" parameters { key: "a" value { string_value: "1" } } max_batch_size: 4'
    made, config = changed(text, "parameters", a="2")
    assert read_config(made) == config
    assert made.startswith('name: "m" parameters {')


def test_what_is_no_configuration_is_refused():
    with pytest.raises(LoadFailed, match="cannot be read"):
        rewritten("name: {", read_config(""), set())


def test_a_change_that_is_not_said_is_no_rewriting():
    config = read_config(TEXT)
    config.max_batch_size = 8
    with pytest.raises(ValueError, match="cannot be rewritten"):
        rewritten(TEXT, config, {"parameters"})
