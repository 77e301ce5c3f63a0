import math

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.consistency import Against
from service.consistency.live import Difference
from service.metrics import metrics_of
from service.registry import Registry, ServedModel
from service.signature import Signature
from service.statistics import ExecutionTimes
from tests.service import tiny


class NoRunner:
    async def run(self, inputs, outputs):
        raise NotImplementedError


def serve(registry, name, version=1):
    model = ServedModel(
        name=name,
        version=version,
        signature=Signature(inputs=(), outputs=()),
        runner=NoRunner(),
        consistency=tiny.consistency(name, version),
    )
    registry.begin_loading(name, version)
    registry.finish_loading(model)
    return model.consistency


def samples(registry):
    text = generate_latest(metrics_of(registry)).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_the_canary_saw_is_told_for_each_version_and_output():
    registry = Registry()
    known = serve(registry, "m", 3)
    for error, reason in ((0.5, ""), (math.inf, "NaN")):
        known.live.add(
            [
                Difference(
                    output='y"\n', against=Against.SOLO, error=error, tolerance=1.0, reason=reason
                )
            ]
        )
    known.live.drop()
    known.live.fail("gone")
    got = samples(registry)
    assert got["normserve_canary_compared_total", "m", "3"] == 2
    assert got["normserve_canary_dropped_total", "m", "3"] == 1
    assert got["normserve_canary_failed_total", "m", "3"] == 1
    output = ("m", "3", 'y"\n', "solo")
    by_labels = {frozenset(key): value for key, value in got.items()}
    assert by_labels[frozenset(("normserve_canary_exceeded_total", *output))] == 1
    assert by_labels[frozenset(("normserve_canary_error_count", *output))] == 2
    assert by_labels[frozenset(("normserve_canary_error_sum", *output))] == 0.5
    assert by_labels[frozenset(("normserve_canary_worst_error", *output))] == math.inf


def test_whether_a_model_may_be_batched_is_told():
    registry = Registry()
    known = serve(registry, "m")
    assert samples(registry)["normserve_batching_allowed", "m", "1"] == 0
    known.finish(tiny.report(known))
    assert samples(registry)["normserve_batching_allowed", "m", "1"] == 1


def test_a_model_that_is_not_served_has_no_numbers():
    registry = Registry()
    registry.begin_loading("loading", 1)
    registry.begin_loading("failed", 1)
    registry.fail_loading("failed", 1, reason="no luck")
    assert samples(registry) == {}


def test_requests_are_counted_under_tritons_names():
    registry = Registry()
    serve(registry, "m", 2)
    recorder = registry.find("m").recorder
    for _ in range(2):
        recorder.succeed(recorder.begin(), ExecutionTimes(queue=3000, compute=5000))
    recorder.fail(recorder.begin())
    recorder.begin()
    got = samples(registry)
    assert got["nv_inference_request_success", "m", "2"] == 2
    assert got["nv_inference_request_failure", "m", "OTHER", "2"] == 1
    assert got["nv_inference_count", "m", "2"] == got["nv_inference_exec_count", "m", "2"] == 2
    assert got["nv_inference_queue_duration_us", "m", "2"] == 6
    assert got["nv_inference_compute_infer_duration_us", "m", "2"] == 10
    assert got["nv_inference_request_duration_us", "m", "2"] > 0
    assert got["nv_inference_pending_request_count", "m", "2"] == 1
