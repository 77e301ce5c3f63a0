import hashlib
from dataclasses import replace

import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as grpc_client
import tritonclient.http as http_client
from prometheus_client.exposition import generate_latest
from tritonclient.utils import InferenceServerException

from bundle import MANIFEST
from bundle.checks import Subject
from service.errors import ParameterInvalid
from service.grpc.server import GrpcServer
from service.lifecycle import Service
from service.machine import normserve_version
from service.provenance import REQUEST_PARAMETER, provenance_of, wants_provenance
from service.registry import Registry
from service.settings import Settings
from service.statistics import ExecutionTimes
from tests.service import tiny
from tests.service.metrics.scraping import serve

ROWS = np.ones((3, 2), np.float32)
TIMES = ExecutionTimes(queue=12_345, compute=67_890)


def test_a_reply_says_how_it_came_about_only_where_that_is_wanted():
    assert not wants_provenance({}, by_default=False)
    assert wants_provenance({}, by_default=True)
    assert wants_provenance({REQUEST_PARAMETER: True}, by_default=False)
    assert not wants_provenance({REQUEST_PARAMETER: False}, by_default=True)


@pytest.mark.parametrize("value", [1, "true", 0.0])
def test_it_is_asked_for_with_true_or_false(value):
    with pytest.raises(ParameterInvalid, match="must be true or false; got"):
        wants_provenance({REQUEST_PARAMETER: value}, by_default=False)


def test_what_is_not_known_is_left_out():
    told = provenance_of(serve(Registry(), "m"), TIMES, rows=3)
    assert told == {
        "normserve_version": normserve_version(),
        "normserve_model_version": "1",
        "normserve_model_sha256": "0" * 64,
        "normserve_provider": "CPUExecutionProvider",
        "normserve_batch_size": 3,
        "normserve_batch_row": 0,
        "normserve_queue_us": 12,
        "normserve_compute_us": 67,
    }


def test_a_request_that_shares_its_run_is_told_of_all_rows_and_of_its_place():
    times = replace(TIMES, batch_size=16, first_row=5)
    told = provenance_of(serve(Registry(), "m"), times, rows=3)
    assert (told["normserve_batch_size"], told["normserve_batch_row"]) == (16, 5)


def test_the_certificate_is_named_by_its_digest():
    model = serve(Registry(), "m")
    report = tiny.report(model.consistency)
    model.consistency.finish(report)
    told = provenance_of(model, TIMES, rows=1)
    digest = hashlib.sha256(report.certificate.model_dump_json().encode()).hexdigest()
    assert told["normserve_certificate_sha256"] == digest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny.write_verified(tmp_path_factory.mktemp("provenance"), "m")


@pytest.fixture(scope="module")
def url(bundle):
    with tiny.live_server(Settings(repository=bundle.path.parent.parent)) as address:
        yield address


def check(told, bundle):
    assert told["normserve_model_sha256"] == Subject(model=bundle.model_path).sha256()
    manifest = (bundle.path / MANIFEST).read_bytes()
    assert told["normserve_manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert told["normserve_batch_size"] == 3
    assert told["normserve_batch_row"] == 0
    assert told["normserve_compute_us"] >= 0


@pytest.mark.parametrize("binary", [True, False])
def test_http_replies_carry_it_as_parameters(url, bundle, binary):
    tensor = http_client.InferInput("x", [3, 2], "FP32").set_data_from_numpy(ROWS, binary)
    output = http_client.InferRequestedOutput("y", binary_data=binary)
    with http_client.InferenceServerClient(url.removeprefix("http://")) as client:
        silent = client.infer("m", [tensor], outputs=[output])
        asked = client.infer(
            "m", [tensor], outputs=[output], parameters={"normserve_provenance": True}
        )
    assert "parameters" not in silent.get_response()
    check(asked.get_response()["parameters"], bundle)
    assert asked.as_numpy("y").tolist() == (2 * ROWS).tolist()


def test_http_refuses_another_value_than_true_or_false(url):
    body = {
        "parameters": {"normserve_provenance": "yes"},
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
    }
    refused = httpx.post(f"{url}/v2/models/m/infer", json=body)
    assert refused.status_code == 400
    assert "'normserve_provenance' must be true or false; got 'yes'" in refused.json()["error"]


def values(parameters):
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in parameters.items()
    }


async def test_grpc_replies_carry_the_same_and_a_setting_asks_for_all(bundle):
    settings = Settings(repository=bundle.path.parent.parent, provenance=True, grpc_port=0)
    tensor = grpc_client.InferInput("x", [3, 2], "FP32").set_data_from_numpy(ROWS)
    async with Service(settings) as service, GrpcServer(service, settings) as server:
        async with grpc_client.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
            while not await client.is_server_ready():
                pass
            told = (await client.infer("m", [tensor])).get_response()
            silent = await client.infer("m", [tensor], parameters={REQUEST_PARAMETER: False})
            with pytest.raises(InferenceServerException, match="must be true or false; got 1"):
                await client.infer("m", [tensor], parameters={REQUEST_PARAMETER: 1})
            with pytest.raises(InferenceServerException):
                await client.get_model_metadata("nobody")
        page = generate_latest(service.metrics).decode()
    check(values(told.parameters), bundle)
    assert told.parameters["normserve_batch_size"].WhichOneof("parameter_choice") == "int64_param"
    assert not silent.get_response().parameters
    assert 'normserve_grpc_requests_total{code="OK",method="ModelInfer"} 2.0' in page
    assert 'normserve_grpc_requests_total{code="NOT_FOUND",method="ModelMetadata"} 1.0' in page
    assert 'nv_inference_request_failure{model="m",reason="OTHER",version="1"} 1.0' in page
