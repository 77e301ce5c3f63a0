"""What only Triton's gRPC clients do: deadlines, cancellation, streams, compression of messages."""

import asyncio
import queue
import threading
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.service.tiny import wait_for


def tensor(value=1.0, *, model="identity-fp32", module=triton):
    shape = [1] if model == "slow" else [1, 3]
    given = module.InferInput("x", shape, "FP32")
    given.set_data_from_numpy(np.full(shape, value, np.float32))
    return given


@pytest.fixture
def plain(server):
    with triton.InferenceServerClient(server.grpc) as client:
        yield client


@pytest.mark.parametrize("coding", ["gzip", "deflate", None])
def test_messages_may_be_compressed(grpc_client, coding):
    result = grpc_client.ask("infer", "identity-fp32", [tensor(3)], compression_algorithm=coding)
    assert result.as_numpy("y").tolist() == [[3, 3, 3]]


def test_a_deadline_that_passes_ends_the_call_and_not_the_server(grpc_client):
    began = time.monotonic()
    with pytest.raises(InferenceServerException) as caught:
        grpc_client.ask("infer", "slow", [tensor(model="slow")], client_timeout=0.1)
    assert "DEADLINE_EXCEEDED" in caught.value.status()
    assert time.monotonic() - began < 5
    answer = grpc_client.ask("infer", "identity-fp32", [tensor(2)], client_timeout=20)
    assert answer.as_numpy("y").tolist() == [[2, 2, 2]]


def test_a_deadline_that_does_not_pass_changes_nothing(grpc_client):
    assert grpc_client.ask("is_server_live", client_timeout=20)
    assert grpc_client.told("get_server_metadata", client_timeout=20)["name"] == "normserve"


def test_other_models_answer_while_calls_of_one_are_cancelled(plain):
    ended = queue.Queue()

    def tell(result, error):
        ended.put(error)

    calls = [plain.async_infer("slow", [tensor(model="slow")], callback=tell) for _ in range(3)]
    for number in range(20):
        answer = plain.infer("identity-fp32", [tensor(number)], client_timeout=20)
        assert answer.as_numpy("y").tolist() == [[number] * 3]
    for call in calls:
        call.cancel()
    for _ in calls:
        error = ended.get(timeout=20)
        assert error is None or "CANCELLED" in error.status() + error.message()
    assert plain.infer("slow", [tensor(4, model="slow")]).as_numpy("y").tolist() == [4]


def test_answers_to_asynchronous_calls_are_each_ones_own(plain):
    answers = queue.Queue()
    for number in range(64):
        plain.async_infer(
            "identity-fp32",
            [tensor(number)],
            callback=lambda result, error: answers.put((result, error)),
            request_id=str(number),
        )
    seen = set()
    for _ in range(64):
        result, error = answers.get(timeout=30)
        assert error is None
        identifier = result.get_response().id
        assert result.as_numpy("y").tolist() == [[int(identifier)] * 3]
        seen.add(identifier)
    assert len(seen) == 64


def test_a_stream_answers_in_order_and_goes_on_after_errors(plain):
    answers = queue.Queue()
    plain.start_stream(lambda result, error: answers.put((result, error)))
    wrong = {7: "nobody", 12: "add"}
    for number in range(20):
        plain.async_stream_infer(
            wrong.get(number, "identity-fp32"), [tensor(number)], request_id=str(number)
        )
    for number in range(20):
        result, error = answers.get(timeout=30)
        if number in wrong:
            assert result is None
            assert ("nobody" if number == 7 else "'x' is not one") in error.message()
        else:
            assert error is None
            assert result.get_response().id == str(number)
            assert (result.as_numpy("y") == number).all()
    plain.stop_stream()
    plain.start_stream(lambda result, error: answers.put((result, error)))
    plain.async_stream_infer("identity-fp32", [tensor(5)], enable_empty_final_response=True)
    result, error = answers.get(timeout=30)
    assert error is None
    assert result.get_response().parameters["triton_final_response"].bool_param
    plain.stop_stream()


def test_a_stream_that_is_cancelled_leaves_the_server_as_it_was(plain):
    answers = queue.Queue()
    plain.start_stream(lambda result, error: answers.put((result, error)))
    for _ in range(3):
        plain.async_stream_infer("slow", [tensor(model="slow")])
    plain.stop_stream(cancel_requests=True)
    result, error = answers.get(timeout=30)
    assert result is None
    assert "CANCELLED" in str(error.status())
    assert plain.infer("identity-fp32", [tensor(1)]).as_numpy("y").tolist() == [[1, 1, 1]]


def test_a_stream_ends_at_its_deadline(plain):
    answers = queue.Queue()
    plain.start_stream(lambda result, error: answers.put((result, error)), stream_timeout=0.2)
    for _ in range(20):
        plain.async_stream_infer("slow", [tensor(model="slow")])
    errors = []
    while not errors:
        _, error = answers.get(timeout=30)
        errors += [error] if error else []
    assert "DEADLINE_EXCEEDED" in str(errors[0].status()) + errors[0].message()
    plain.stop_stream(cancel_requests=True)


async def test_the_asyncio_stream_answers_in_order_and_goes_on_after_errors(server):
    async def requests():
        for number in range(20):
            model = "nobody" if number == 7 else "identity-fp32"
            yield {
                "model_name": model,
                "inputs": [tensor(number, module=triton_aio)],
                "request_id": str(number),
            }

    async with triton_aio.InferenceServerClient(server.grpc) as client:
        got = [answer async for answer in client.stream_infer(requests(), stream_timeout=60)]
    assert len(got) == 20
    for number, (result, error) in enumerate(got):
        if number == 7:
            assert "nobody" in error.message()
        else:
            assert result.get_response().id == str(number)
            assert (result.as_numpy("y") == number).all()


async def test_an_asyncio_stream_that_is_cancelled_ends(server):
    asked = asyncio.Event()

    async def requests():
        yield {"model_name": "slow", "inputs": [tensor(model="slow", module=triton_aio)]}
        asked.set()
        await asyncio.Event().wait()

    async with triton_aio.InferenceServerClient(server.grpc) as client:
        stream = client.stream_infer(requests())
        waiting = asyncio.ensure_future(stream.__anext__())
        await asked.wait()
        assert stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await client.is_server_live()


def test_clients_that_vanish_in_the_middle_leave_nothing_behind(server):
    def vanish():
        with triton.InferenceServerClient(server.grpc) as client:
            client.start_stream(lambda result, error: None)
            for _ in range(8):
                client.async_stream_infer("identity-fp32", [tensor()])
            client.stop_stream(cancel_requests=True)

    threads = [threading.Thread(target=vanish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with triton.InferenceServerClient(server.grpc) as client:
        wait_for(lambda: client.infer("slow", [tensor(model="slow")], client_timeout=20))
        assert client.is_server_ready()


def test_metadata_of_others_and_a_large_id_are_taken(plain):
    result = plain.infer("identity-fp32", [tensor()], headers={"x-mine": "a"}, request_id="é" * 500)
    assert result.get_response().id == "é" * 500
