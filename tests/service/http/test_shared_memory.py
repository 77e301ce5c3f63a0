"""What no client library would send to the routes of shared memory, and a server without it."""

import uuid
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.service import tiny

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects
SYSTEM = "/v2/systemsharedmemory"
REGISTER = f"{SYSTEM}/region/r/register"


@pytest.fixture(scope="module")
def sharing(repository):
    settings = Settings(repository=repository, client_shared_memory=True, max_request_bytes=2**20)
    with tiny.live_server(settings) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def key(sharing):
    path = MEMORY / f"normserve-test-{uuid.uuid4()}"
    path.write_bytes(np.arange(6, dtype="<f4").tobytes())
    yield f"/{path.name}"
    path.unlink()
    sharing.post(f"{SYSTEM}/unregister")


def ask(client, *, inputs=None, outputs=None, **fields):
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 12}
    whole = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    given = inputs or [whole | {"parameters": place}]
    body = {"inputs": given, "outputs": outputs or []} | fields
    return client.post("/v2/models/identity-fp32/infer", json=body)


def test_a_region_has_an_offset_of_0_unless_one_is_given(sharing, key):
    assert sharing.post(REGISTER, json={"key": key, "byte_size": 24}).content == b""
    told = [{"name": "r", "key": key, "offset": 0, "byte_size": 24}]
    assert sharing.get(f"{SYSTEM}/status").json() == told
    assert sharing.get(f"{SYSTEM}/region/r/status").json() == told
    assert sharing.post(f"{SYSTEM}/region/r/unregister").status_code == 200
    assert sharing.get(f"{SYSTEM}/region/r/status").status_code == 404


def test_a_json_request_reads_and_writes_regions(sharing, key):
    sharing.post(REGISTER, json={"key": key, "byte_size": 24})
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 12, "shared_memory_offset": 12}
    reply = ask(sharing, outputs=[{"name": "y", "parameters": place}], id="7")
    assert reply.json() == {
        "model_name": "identity-fp32",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "parameters": place}],
    }
    written = np.fromfile(MEMORY / key.removeprefix("/"), "<f4")
    assert written.tolist() == [0, 1, 2, 0, 1, 2]
    assert ask(sharing).json()["outputs"][0]["data"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": None}, "needs 'key', a string; got null"),
        ({"key": 7}, "needs 'key', a string; got a number, 7"),
        ({"byte_size": None}, "needs 'byte_size', an integer of at least 0; got null"),
        ({"byte_size": "8"}, "needs 'byte_size'"),
        ({"byte_size": -8}, "needs 'byte_size'"),
        ({"byte_size": 8.0}, "needs 'byte_size'"),
        ({"byte_size": True}, "needs 'byte_size'"),
        ({"byte_size": 0}, "has a byte_size of 0"),
        ({"offset": -1}, "needs 'offset', an integer of at least 0; got a number, -1"),
        ({"offset": 2**64 - 1}, "has 24 bytes; 18446744073709551623 are wanted"),
        ({"offset": None}, "needs 'offset'"),
    ],
)
def test_a_registration_that_cannot_be_is_refused(sharing, key, change, says):
    reply = sharing.post(REGISTER, json={"key": key, "byte_size": 8} | change)
    assert reply.status_code == 400
    assert says in reply.json()["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"key": "a", "key": "b"}'])
def test_a_registration_that_is_no_json_object_is_refused(sharing, body):
    reply = sharing.post(REGISTER, content=body)
    assert (reply.status_code, list(reply.json())) == (400, ["error"])


@pytest.mark.parametrize("name", ["é%20✓", "x" * 255, "%2E%2E%2E"])
def test_a_name_may_be_any_text_that_is_one_part_of_a_path(sharing, key, name):
    path = f"{SYSTEM}/region/{name}"
    assert sharing.post(f"{path}/register", json={"key": key, "byte_size": 8}).status_code == 200
    assert sharing.get(f"{path}/status").json()[0]["byte_size"] == 8


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", f"{SYSTEM}/status", 405),
        ("GET", f"{SYSTEM}/region/r/register", 405),
        ("POST", f"{SYSTEM}/register", 404),
        ("POST", f"{SYSTEM}/region//register", 404),
        ("POST", f"{SYSTEM}/region/{'x' * 256}/register", 400),
        ("GET", "/v2/cudasharedmemory/status", 200),
        ("GET", "/v2/cudasharedmemory/region/r/status", 404),
        ("POST", "/v2/cudasharedmemory/region/r/register", 400),
        ("POST", "/v2/cudasharedmemory/region/r/unregister", 200),
        ("POST", "/v2/cudasharedmemory/unregister", 200),
    ],
)
def test_other_questions_are_answered_as_the_protocol_has_it(sharing, verb, path, status):
    reply = sharing.request(
        verb, path, json={"key": "/k", "byte_size": 8} if verb == "POST" else None
    )
    assert reply.status_code == status
    if status == 200 and verb == "GET":
        assert reply.json() == []


def test_a_server_without_it_says_so(http, sharing, key):
    assert "system_shared_memory" in sharing.get("/v2").json()["extensions"]
    assert "system_shared_memory" not in http.get("/v2").json()["extensions"]
    reply = http.post(REGISTER, json={"key": key, "byte_size": 8})
    assert reply.status_code == 403
    assert "NORMSERVE_CLIENT_SHARED_MEMORY" in reply.json()["error"]
    reply = ask(http)
    assert reply.status_code == 400
    assert "does not offer shared memory" in reply.json()["error"]
    assert http.get(f"{SYSTEM}/status").json() == []
    assert http.post(f"{SYSTEM}/unregister").status_code == 200


def test_a_failed_request_writes_nothing(sharing, key):
    sharing.post(REGISTER, json={"key": key, "byte_size": 24})
    before = (MEMORY / key.removeprefix("/")).read_bytes()
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 11}
    whole = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [7, 8, 9]}
    reply = ask(sharing, inputs=[whole], outputs=[{"name": "y", "parameters": place}])
    assert reply.status_code == 400
    assert "11 bytes of shared memory region 'r' are for an output of 12" in reply.json()["error"]
    assert (MEMORY / key.removeprefix("/")).read_bytes() == before
