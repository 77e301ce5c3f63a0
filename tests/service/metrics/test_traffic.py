from service.metrics import Traffic
from service.registry import Registry
from tests.service.metrics.scraping import scrape


def requests(traffic, family):
    got = scrape(Registry(), traffic)
    return {key[1:]: value for key, value in got.items() if key[0] == f"{family}_total"}


def test_requests_are_counted_by_route_and_status():
    traffic = Traffic()
    for status in (200, 200, 404):
        traffic.count_http("POST", "/v2/models/{model}/infer", status)
    traffic.count_http("GET", None, 404)
    assert requests(traffic, "normserve_http_requests") == {
        ("POST", "/v2/models/{model}/infer", "200"): 2,
        ("POST", "/v2/models/{model}/infer", "404"): 1,
        ("GET", "none", "404"): 1,
    }


def test_methods_that_clients_invent_are_one():
    traffic = Traffic()
    for number in range(1000):
        traffic.count_http(f"M{number}", None, 405)
    assert requests(traffic, "normserve_http_requests") == {("other", "none", "405"): 1000}


def test_calls_are_counted_by_method_and_status():
    traffic = Traffic()
    traffic.count_grpc("ModelInfer", "OK")
    traffic.count_grpc("ModelInfer", "NOT_FOUND")
    assert requests(traffic, "normserve_grpc_requests") == {
        ("OK", "ModelInfer"): 1,
        ("NOT_FOUND", "ModelInfer"): 1,
    }
