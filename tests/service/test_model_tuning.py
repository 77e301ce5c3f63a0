import pytest

from bundle import AS_IT_COMES, GraphLevel, SessionTuning
from service.errors import LoadFailed
from service.model_config import read_config
from service.model_options import not_honoured, read_options

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def options(text):
    return read_options(read_config(text), name="m")


def parameter(name, value):
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


def test_what_is_not_said_is_not_tuned():
    asked = options("")
    assert (asked.tuning, asked.instances, asked.rows) == (AS_IT_COMES, None, None)


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (0, GraphLevel.ALL),
        (1, GraphLevel.EXTENDED),
        (-1, GraphLevel.BASIC),
        (2, GraphLevel.NONE),
    ],
)
def test_levels_are_numbered_as_in_triton(number, level):
    assert options(f"optimization {{ graph {{ level: {number} }} }}").tuning.level is level


@pytest.mark.parametrize(
    ("text", "tuning"),
    [
        (parameter("execution_mode", 1), SessionTuning(inter_op_threads=0)),
        (
            parameter("execution_mode", 1) + parameter("inter_op_thread_count", 3),
            SessionTuning(inter_op_threads=3),
        ),
        (parameter("inter_op_thread_count", 3), AS_IT_COMES),
        (parameter("enable_mem_arena", 0), SessionTuning(mem_arena=False)),
        (parameter("enable_mem_pattern", "False"), SessionTuning(mem_pattern=False)),
        (
            """optimization { execution_accelerators { gpu_execution_accelerator {
                 name: "cuda" parameters { key: "prefer_nhwc" value: "1" } } } }""",
            SessionTuning(provider_options=((CUDA, "prefer_nhwc", "1"),)),
        ),
    ],
)
def test_sessions_are_set_up_by_the_names_of_tritons_backend(text, tuning):
    assert options(text).tuning == tuning


def test_options_of_an_accelerator_that_the_model_does_not_run_on_are_named():
    config = read_config(
        "optimization { execution_accelerators { gpu_execution_accelerator { name: 'cuda' } } }"
    )
    named = ("optimization.execution_accelerators.cuda",)
    assert not_honoured(config, provider=CPU, at_once=1) == named
    assert not_honoured(config, provider=CUDA, at_once=1) == ()


@pytest.mark.parametrize(
    ("accelerator", "provider", "key"),
    [
        ("cuda", CUDA, "use_tf32"),
        ("cuda", CUDA, "gpu_external_alloc"),
        ("tensorrt", "TensorrtExecutionProvider", "precision_mode"),
        ("tensorrt", "TensorrtExecutionProvider", "trt_extra_plugin_lib_paths"),
        ("openvino", "OpenVINOExecutionProvider", "cache_dir"),
    ],
)
def test_options_that_are_not_a_models_to_choose_are_named_and_not_passed_on(
    accelerator, provider, key
):
    config = read_config(
        f"""optimization {{ execution_accelerators {{ gpu_execution_accelerator {{
              name: "{accelerator}" parameters {{ key: "{key}" value: "1" }} }} }} }}"""
    )
    assert read_options(config, name="m").tuning == AS_IT_COMES
    named = (f"optimization.execution_accelerators.{accelerator}.{key}",)
    assert not_honoured(config, provider=provider, at_once=1) == named


@pytest.mark.parametrize(
    ("text", "instances"),
    [
        ("instance_group { count: 3 }", 3),
        ("instance_group { count: 1 } instance_group { count: 2 kind: KIND_CPU }", 3),
        ("instance_group { kind: KIND_CPU }", None),
        ("instance_group { count: 2 } instance_group { kind: KIND_CPU }", None),
    ],
)
def test_instances_are_those_of_all_groups_where_each_has_a_count(text, instances):
    assert options(text).instances == instances


def test_instances_beyond_those_that_run_at_once_are_named():
    config = read_config("instance_group { count: 3 }")
    assert not_honoured(config, provider=CPU, at_once=3) == ()
    assert not_honoured(config, provider=CPU, at_once=2) == ("instance_group.count",)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (parameter("normserve.batch_rows", 16), 16),
        ("dynamic_batching { preferred_batch_size: [ 8, 4 ] }", 8),
        ("dynamic_batching { max_queue_delay_microseconds: 5 }", None),
    ],
)
def test_rows_of_a_shared_run_may_be_said(text, rows):
    assert options(text).rows == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimization { graph { level: 3 } }", "level of its configuration is 3; it must be 0"),
        (parameter("execution_mode", 2), "'2'; it must be 0 .one node after another. or 1"),
        (parameter("inter_op_thread_count", -1), "'-1'; it must be a number of threads"),
        (parameter("enable_mem_arena", "maybe"), "'maybe'; it must be 0 or 1"),
        (parameter("normserve.batch_rows", 0), "is 0; 1 forms no batches"),
        (parameter("normserve.batch_rows", "all"), "'all'; it must be a number of rows"),
        ("instance_group { count: -2 }", "instances is -2"),
    ],
)
def test_values_that_cannot_be_are_refused(text, said):
    with pytest.raises(LoadFailed, match=said):
        options(text)
