from google.protobuf.json_format import MessageToDict, ParseDict

from service.grpc.schema import message
from service.http.statistics import StatisticsBody
from service.statistics import ExecutionTimes, Recorder, statistics_document


def document():
    recorder = Recorder()
    for rows in (4, 4, 1):
        with recorder.begin() as passage:
            passage.decoded()
            passage.computed(ExecutionTimes(queue=3, compute=5), rows=rows, inferences=rows)
    return statistics_document("m", 7, recorder.statistics)


def test_a_document_counts_requests_inferences_and_runs_by_their_size():
    written = document()
    assert (written["name"], written["version"]) == ("m", "7")
    assert (written["inference_count"], written["execution_count"]) == (9, 3)
    parts = written["inference_stats"]
    assert parts["queue"] == {"count": 3, "ns": 9}
    assert parts["compute_infer"] == {"count": 3, "ns": 15}
    assert parts["cache_hit"] == parts["cache_miss"] == {"count": 0, "ns": 0}
    sizes = [(each["batch_size"], each["compute_infer"]) for each in written["batch_stats"]]
    assert sizes == [(1, {"count": 1, "ns": 5}), (4, {"count": 2, "ns": 10})]


def test_both_transports_carry_all_of_a_document():
    documents = {"model_stats": [document()]}
    carried = ParseDict(documents, message("ModelStatisticsResponse")())
    back = MessageToDict(
        carried, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert set(back["model_stats"][0]) == set(documents["model_stats"][0])
    assert carried.model_stats[0].batch_stats[1].compute_infer.count == 2
    assert StatisticsBody.model_validate(documents).model_dump() == documents
