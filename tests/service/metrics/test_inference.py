import pytest

from service.errors import Overloaded
from service.registry import Registry
from service.statistics import ExecutionTimes
from tests.service.metrics.scraping import scrape, serve


def answer(recorder, *, rows=1):
    with recorder.begin() as passage:
        passage.decoded()
        passage.computed(ExecutionTimes(queue=3000, compute=5000), rows=rows, inferences=rows)


def test_requests_are_counted_under_tritons_names_and_labels():
    registry = Registry()
    recorder = serve(registry, "m", 2).recorder
    for rows in (1, 3):
        answer(recorder, rows=rows)
    with pytest.raises(Overloaded), recorder.begin():
        raise Overloaded("full")
    recorder.begin()
    got = scrape(registry)
    assert got["nv_inference_request_success", "m", "2"] == 2
    assert got["nv_inference_count", "m", "2"] == 4
    assert got["nv_inference_exec_count", "m", "2"] == 2
    assert got["nv_inference_queue_duration_us", "m", "2"] == 6
    assert got["nv_inference_compute_infer_duration_us", "m", "2"] == 10
    assert got["nv_inference_compute_input_duration_us", "m", "2"] >= 0
    assert got["nv_inference_compute_output_duration_us", "m", "2"] >= 0
    assert got["nv_inference_request_duration_us", "m", "2"] >= 0
    assert got["nv_inference_pending_request_count", "m", "2"] == 1
    failures = {
        key[2]: value for key, value in got.items() if key[0] == "nv_inference_request_failure"
    }
    assert failures == {"OTHER": 0, "REJECTED": 1, "CANCELED": 0, "BACKEND": 0}


def test_histograms_are_cumulative_and_end_with_all():
    registry = Registry()
    recorder = serve(registry, "m").recorder
    for rows in (1, 3, 5000):
        answer(recorder, rows=rows)
    got = scrape(registry)
    rows = {key[1]: value for key, value in got.items() if key[0] == "normserve_batch_rows_bucket"}
    assert (rows["1.0"], rows["2.0"], rows["4.0"], rows["1024.0"], rows["+Inf"]) == (1, 1, 2, 2, 3)
    assert got["normserve_batch_rows_sum", "m", "1"] == 5004
    assert got["normserve_queue_duration_seconds_count", "m", "1"] == 3
    assert got["normserve_queue_duration_seconds_sum", "m", "1"] == pytest.approx(9e-6)
    assert got["normserve_request_duration_seconds_count", "m", "1"] == 3


def test_a_replacement_under_load_goes_on_counting_and_an_unloaded_model_has_no_numbers():
    registry = Registry()
    before = serve(registry, "m")
    answer(before.recorder)
    replacement = serve(Registry(), "m")
    registry.replace(replacement)
    answer(before.recorder)  # it had begun before
    answer(replacement.recorder)
    assert scrape(registry)["nv_inference_request_success", "m", "1"] == 3
    registry.begin_unloading("m", 1)
    registry.finish_unloading("m", 1)
    assert not [key for key in scrape(registry) if "m" in key[1:]]
