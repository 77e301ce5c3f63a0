"""A model that is served as its ``config.pbtxt`` says."""

import httpx
import numpy as np
import pytest

from service.settings import Settings
from tests.service import serving, tiny

CONFIG = """
    name: "m"
    max_batch_size: 2
    input { name: "x" data_type: TYPE_FP32 dims: 3 }
    output { name: "y" data_type: TYPE_FP32 dims: -1 }
    instance_group { kind: KIND_CPU }
    response_cache { enable: true }
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny.write_plain(folder, "m", tiny.two_dynamic())
    tiny.write_config(folder, "m", CONFIG)
    return folder


@pytest.fixture(scope="module")
def client(repository):
    settings = Settings(repository=repository, consistency_at_load=False)
    with tiny.live_server(settings) as url, httpx.Client(base_url=url) as opened:
        yield opened


def ask(client, *shape):
    data = [1.0] * int(np.prod(shape))
    tensor = {"name": "x", "shape": shape, "datatype": "FP32", "data": data}
    return client.post("/v2/models/m/infer", json={"inputs": [tensor]})


def test_a_request_may_have_so_many_rows_and_no_more(client):
    for rows in (0, 1, 2):
        assert ask(client, rows, 3).status_code == 200
    reply = ask(client, 3, 3)
    assert reply.status_code == 400
    assert reply.json()["error"] == "input 'x' has 3 rows; the model takes batches of 2 at most"


def test_a_dimension_that_it_fixes_is_fixed(client):
    reply = ask(client, 1, 4)
    assert reply.status_code == 400
    assert "has shape (1, 4); the model wants (rows, 3)" in reply.json()["error"]
    metadata = client.get("/v2/models/m").json()
    assert metadata["inputs"][0]["shape"] == [-1, 3]
    config = client.get("/v2/models/m/config").json()
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (2, [3])


def test_what_is_not_honoured_is_said(client):
    properties = client.get("/v2/models/m").json()["properties"]
    assert properties["config_not_honoured"] == "response_cache"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('name: "n"', "for the model 'n'"),
        ("max_batch_size: many", "1:17"),
        ('input { name: "z" }', "an input 'z'"),
        ('platform: "tensorflow_graphdef"', "tensorflow_graphdef"),
    ],
)
async def test_a_configuration_that_cannot_be_is_the_reason_in_the_index(tmp_path, config, said):
    tiny.write_plain(tmp_path, "m", tiny.two_dynamic())
    tiny.write_config(tmp_path, "m", config)
    async with serving.service_of(tmp_path) as service:
        state, reason = serving.index(service)["m", 1]
        assert state == "UNAVAILABLE"
        assert said in reason
