import httpx

from service.settings import Settings
from tests.service import tiny


def test_live_and_metadata_have_the_bodies_that_clients_read(http):
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2").json() == http.get("/v2/").json()
    assert http.get("/v2").json()["extensions"] == [
        "binary_tensor_data",
        "classification",
        "logging",
        "model_configuration",
        "model_repository",
        "statistics",
    ]


def test_one_model_that_failed_makes_a_strict_server_not_ready(http):
    reply = http.get("/v2/health/ready")
    assert reply.status_code == 503
    assert "broken version 1 is UNAVAILABLE" in reply.json()["error"]


def test_one_model_that_failed_leaves_a_lenient_server_ready(tmp_path):
    tiny.write_plain(tmp_path, "broken", b"")
    settings = Settings(repository=tmp_path, strict_readiness=False)
    with tiny.live_server(settings) as url:
        reply = httpx.get(f"{url}/v2/health/ready")
        assert reply.status_code == 200
        assert reply.json() == {"ready": True}
        assert httpx.get(f"{url}/v2/models/broken").status_code == 503


def test_a_server_of_nothing_is_ready(tmp_path):
    with tiny.live_server(Settings(repository=tmp_path)) as url:
        assert httpx.get(f"{url}/v2/health/ready").json() == {"ready": True}
        assert httpx.post(f"{url}/v2/repository/index").json() == []
