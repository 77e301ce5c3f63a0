import pytest

from bundle import Datatype, ProviderPolicy, TensorSpec
from service.batching import Plan
from service.errors import LoadFailed
from service.model_config import read_config
from service.model_options import fit_tensors, not_honoured, read_options

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
X = TensorSpec(name="x", datatype=Datatype.FP32, shape=("batch", 3, "width"))
S = TensorSpec(name="s", datatype=Datatype.BYTES, shape=("batch",))


def options(text):
    return read_options(read_config(text), name="m")


def fitted(text, *specs, field="input"):
    return fit_tensors(read_config(text), field, specs or (X,))


def test_a_model_without_a_configuration_asks_for_nothing():
    assert read_options(None, name="m").max_batch_size == 0
    assert fit_tensors(None, "input", (X,)) == (X,)
    assert not_honoured(None, provider=CPU, at_once=1) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name: "other"', "for the model 'other'"),
        ('platform: "tensorrt_plan"', "'tensorrt_plan'; this server runs"),
        ('backend: "python"', "'python'; this server runs"),
        ("max_batch_size: -1", "at least 0"),
        (
            'parameters { key: "intra_op_thread_count" value { string_value: "many" } }',
            "'many'; it must be a number of threads",
        ),
        (
            'parameters { key: "intra_op_thread_count" value { string_value: "9999" } }',
            "1024 at most",
        ),
    ],
)
def test_a_configuration_for_something_else_is_refused(text, said):
    with pytest.raises(LoadFailed, match=said):
        options(text)


def test_what_it_says_of_threads_and_of_the_cpu_is_done():
    text = """instance_group { kind: KIND_CPU count: 1 }
              parameters { key: "intra_op_thread_count" value { string_value: "3" } }"""
    asked = options(text)
    assert asked.threads == 3
    assert asked.policy(ProviderPolicy.AUTO) is ProviderPolicy.CPU
    assert not_honoured(read_config(text), provider=CPU, at_once=1) == ()
    assert (
        options("instance_group { kind: KIND_AUTO }").policy(ProviderPolicy.AUTO)
        == ProviderPolicy.AUTO
    )


def test_tensors_that_are_the_models_are_as_they_are():
    text = 'input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3, -1 ] }'
    assert fitted(text) == (X,)
    assert fitted('input { name: "s" data_type: TYPE_STRING dims: -1 }', S) == (S,)
    assert fitted('input { name: "x" }') == (X,)
    assert fitted("") == (X,)


def test_a_dimension_that_the_model_leaves_open_may_be_fixed():
    (narrowed,) = fitted('input { name: "x" dims: [ -1, 3, 224 ] }')
    assert narrowed.shape == ("batch", 3, 224)


def test_dimensions_leave_out_the_batch_where_there_is_one():
    (narrowed,) = fitted('max_batch_size: 8 input { name: "x" dims: [ 3, 224 ] }')
    assert narrowed.shape == ("batch", 3, 224)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('input { name: "y" }', "an input 'y'; the model has 'x'"),
        ('input { name: "x" } input { name: "x" }', "'x' twice"),
        ('input { name: "x" data_type: TYPE_FP64 }', "TYPE_FP64; the model has TYPE_FP32"),
        ('input { name: "x" dims: [ -1, 4, -1 ] }', r"\[-1, 4, -1\].*\(batch, 3, width\)"),
        ('input { name: "x" dims: [ -1, -1, -1 ] }', r"\[-1, -1, -1\]"),
        ('input { name: "x" dims: [ 3, -1 ] }', r"\[3, -1\]"),
        ('input { name: "x" dims: [ -1, 3, -2 ] }', "dimension -2"),
        ('max_batch_size: 8 input { name: "x" dims: [ -1, 3, -1 ] }', "without the batch"),
    ],
)
def test_a_configuration_that_contradicts_the_model_is_refused(text, said):
    with pytest.raises(LoadFailed, match=said):
        fitted(text)


def test_a_batch_size_of_a_model_whose_first_dimension_is_fixed_is_refused():
    fixed = TensorSpec(name="x", datatype=Datatype.FP32, shape=(1, 3))
    with pytest.raises(LoadFailed, match="no first dimension that may vary"):
        fitted("max_batch_size: 8", fixed)


def test_outputs_are_checked_and_left_as_they_are():
    text = 'output { name: "x" dims: [ -1, 3, 224 ] }'
    assert fitted(text, field="output") == (X,)
    with pytest.raises(LoadFailed, match="an output 'z'"):
        fitted('output { name: "z" }', field="output")


def test_options_that_are_not_honoured_are_named():
    text = """
        name: "m" max_batch_size: 4 default_model_filename: "net.onnx"
        dynamic_batching { priority_levels: 2 } response_cache { enable: true }
        input { name: "x" dims: 3 reshape { shape: [ 1, 3 ] } format: FORMAT_NCHW }
        instance_group { kind: KIND_GPU count: 2 gpus: [ 0 ] }
        optimization { graph { level: 1 } eager_batching: true execution_accelerators {
            gpu_execution_accelerator { name: "cuda" } cpu_execution_accelerator { name: "x" } } }
        parameters { key: "inter_op_thread_count" value { string_value: "4" } }
        parameters { key: "model_loading" value { string_value: "1" } }
    """
    ignored = (
        *("default_model_filename", "dynamic_batching.priority_levels", "input.format"),
        *("input.reshape", "instance_group.count", "instance_group.gpus", "instance_group.kind"),
        *("optimization.eager_batching", "optimization.execution_accelerators.cuda"),
        *("optimization.execution_accelerators.x", "parameters.inter_op_thread_count"),
        *("parameters.model_loading", "response_cache"),
    )
    assert not_honoured(read_config(text), provider=CPU, at_once=1) == ignored
    on_gpu = read_config("instance_group { kind: KIND_GPU }")
    assert not_honoured(on_gpu, provider=CUDA, at_once=1) == ()


def test_how_requests_share_runs_is_taken_from_dynamic_batching():
    text = """
        dynamic_batching { preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 250 }
    """
    assert read_options(read_config(text), name="m").plan == Plan(delay_s=250e-6, preferred=(4, 8))
    assert read_options(read_config("max_batch_size: 4"), name="m").plan is None


def test_a_preferred_size_of_nothing_is_refused():
    text = "dynamic_batching { preferred_batch_size: [ 0 ] }"
    with pytest.raises(LoadFailed, match="sizes are at least 1"):
        read_options(read_config(text), name="m")
