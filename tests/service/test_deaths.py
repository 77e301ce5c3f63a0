"""Processes of models that are killed, or do not end, under load, in a real server."""

import os
import signal
import threading
import time

import httpx
import onnx

from tests.service import tiny
from tests.service.engine import models
from tests.service.process import children, process, workers

KILLS = 20
CLIENTS = 8


def ask(client, name, value):
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [value, value]}
    return client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})


def test_twenty_kills_under_load_fail_no_request(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    with process(tmp_path, consistency_at_load="true") as (server, url):
        tiny.wait_for(
            lambda: httpx.get(f"{url}/v2/models/m/consistency").json()["state"] == "established",
            seconds=60,
        )
        wrong, answered, stop = [], [0] * CLIENTS, threading.Event()

        def drive(number):
            with httpx.Client(base_url=url, timeout=30) as client:
                while not stop.is_set():
                    reply = ask(client, "m", number)
                    if reply.status_code != 200:
                        wrong.append(reply.text)
                    elif reply.json()["outputs"][0]["data"] != [2 * number] * 2:
                        wrong.append(reply.json())
                    answered[number] += 1

        threads = [threading.Thread(target=drive, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        longest = 0.0
        for _ in range(KILLS):
            before = sum(answered)
            tiny.wait_for(lambda so_far=before: sum(answered) > so_far + 2 * CLIENTS)
            (worker,) = workers(server)
            began = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            before = sum(answered)
            tiny.wait_for(lambda so_far=before: sum(answered) > so_far + 2 * CLIENTS, seconds=60)
            longest = max(longest, time.monotonic() - began)
        stop.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []
    assert longest < 5
    ended = [line for line in server.lines if line["event"] == "model process ended"]
    assert [line["how"] for line in ended] == ["signal 9"] * KILLS


def test_a_request_that_never_ends_costs_nobody_else_an_answer(tmp_path):
    folder = tmp_path / "counting" / "1"
    folder.mkdir(parents=True)
    onnx.save(models.counting(), folder / "model.onnx")
    tiny.write_verified(tmp_path, "m", factor=2.0)

    def count(client, rounds):
        scalar = {"name": "n", "shape": [], "datatype": "INT64", "data": [rounds]}
        tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [0]}
        return client.post("/v2/models/counting/infer", json={"inputs": [scalar, tensor]})

    with (
        process(tmp_path, run_timeout_s=1, consistency_at_load="false") as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        poisoned = []
        thread = threading.Thread(target=lambda: poisoned.append(count(client, 2**62)))
        thread.start()
        with httpx.Client(base_url=url, timeout=60) as other:
            while thread.is_alive():
                assert ask(other, "m", 3.0).json()["outputs"][0]["data"] == [6, 6]
            assert count(other, 5).json()["outputs"][0]["data"] == [5]
        thread.join()
        assert poisoned[0].status_code == 503
        assert "twice" in poisoned[0].json()["error"]
        began = time.monotonic()
        assert "not tried again" in count(client, 2**62).json()["error"]
        assert time.monotonic() - began < 1
        assert count(client, 7).json()["outputs"][0]["data"] == [7]


def test_a_model_whose_process_does_not_come_back_is_unavailable_and_says_why(tmp_path):
    folder = tiny.write_verified(tmp_path, "m", factor=2.0).path
    with (
        process(tmp_path, consistency_at_load="false", strict_readiness="true") as (server, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert ask(client, "m", 1.0).status_code == 200
        kept = (folder / "model.onnx").read_bytes()
        (folder / "model.onnx").write_bytes(b"something else")
        (worker,) = workers(server)
        os.kill(worker, signal.SIGKILL)
        tiny.wait_for(lambda: client.get("/v2/models/m/ready").status_code != 200)
        (entry,) = client.post("/v2/repository/index").json()
        assert entry["state"] == "UNAVAILABLE"
        assert "does not come back" in entry["reason"]
        assert client.get("/v2/health/ready").status_code == 503
        assert ask(client, "m", 1.0).status_code == 503
        (folder / "model.onnx").write_bytes(kept)
        tiny.wait_for(lambda: client.get("/v2/health/ready").status_code == 200, seconds=60)
        assert ask(client, "m", 1.0).json()["outputs"][0]["data"] == [2, 2]


def test_models_outlive_the_process_that_theirs_were_forked_from(tmp_path):
    tiny.write_verified(tmp_path, "m", factor=2.0)
    with (
        process(tmp_path, consistency_at_load="false") as (server, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert ask(client, "m", 1.0).status_code == 200
        (worker,) = workers(server)
        (zygote,) = children(server.pid)
        os.kill(zygote, signal.SIGKILL)
        assert ask(client, "m", 2.0).json()["outputs"][0]["data"] == [4, 4]
        os.kill(worker, signal.SIGKILL)
        assert ask(client, "m", 3.0).json()["outputs"][0]["data"] == [6, 6]
        assert workers(server) not in ([], [worker])
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    errors = [line["event"] for line in server.lines if line.get("level") == "error"]
    assert errors == [
        "model process ended",
        "the process that others are forked from has ended",
    ]
