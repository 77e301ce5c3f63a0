"""The table and what is served are the same: nothing is left out, nothing is in it twice."""

import re
from collections import Counter
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from starlette.routing import Mount

from service.grpc.schema import SERVICE
from service.http import create_app
from service.http.monitoring import create_monitoring_app
from service.lifecycle import Service
from service.permissions import OPERATIONS, Need, need_of_method, need_of_route
from service.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "security.md"


def routes_of(app):
    """Each (verb, path) that an app answers; HEAD is GET."""
    for route in app.routes:
        verbs = {"GET"} if isinstance(route, Mount) else route.methods - {"HEAD"}
        for verb in verbs:
            yield verb, route.path


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    return set(routes_of(create_app(Settings(repository=tmp_path_factory.mktemp("none")))))


def methods():
    services = [
        SERVICE,
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    ]
    return [f"/{service.full_name}/{m.name}" for service in services for m in service.methods]


def test_every_route_is_in_the_table(routes):
    assert len(routes) > 30
    assert [route for route in routes if need_of_route(*route) is None] == []


def test_every_row_of_the_table_is_a_route(routes):
    served = {re.sub(r"{\w+}", "{}", f"{verb} {path}") for verb, path in routes}
    named = {re.sub(r"{\w+}", "{}", route) for row in OPERATIONS for route in row.http}
    assert named == served


def test_every_method_is_in_the_table_and_every_row_is_one():
    assert [method for method in methods() if need_of_method(method) is None] == []
    known = {method.removeprefix(f"/{SERVICE.full_name}").lstrip("/") for method in methods()}
    named = {name.removesuffix(" (settings)") for row in OPERATIONS for name in row.grpc}
    assert named == known


def test_nothing_is_in_the_table_twice():
    names = Counter(name for row in OPERATIONS for name in (*row.http, *row.grpc))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v2/models/{model}/infer"),
        ("POST", "/v2/models/{model}/infer/"),
        ("post", "/v2/models/{model}/infer"),
        ("POST", "/v2/models/m/infer"),
        ("GET", ""),
    ],
)
def test_what_is_in_no_row_needs_what_nobody_has(verb, path):
    assert need_of_route(verb, path) is None


@pytest.mark.parametrize(
    "method", ["ModelInfer", "/inference.GRPCInferenceService/Modelinfer", "/other/ModelInfer", ""]
)
def test_no_other_method_is_in_the_table(method):
    assert need_of_method(method) is None


@pytest.mark.parametrize("name", ["TraceSetting", "LogSettings"])
def test_a_message_with_settings_in_it_needs_more(name):
    method = f"/{SERVICE.full_name}/{name}"
    assert need_of_method(method) is Need.READ
    assert need_of_method(method, has_settings=True) is Need.ADMIN


def test_what_changes_the_server_is_not_less_than_admin():
    for row in OPERATIONS:
        changes = any(
            word in route
            for route in (*row.http, *row.grpc)
            for word in ("load", "Load", "egister", "(settings)", "POST /v2/logging")
        )
        assert not changes or row.need is Need.ADMIN, row.what


def test_the_port_of_the_metrics_has_nothing_but_what_is_open(tmp_path):
    app = create_monitoring_app(Service(Settings(repository=tmp_path)))
    paths = {context.path for context in iter_route_contexts(app.routes)}
    assert paths == {"/metrics", "/v2", "/v2/", "/v2/health/live", "/v2/health/ready"}
    for path in paths - {"/metrics"}:
        assert need_of_route("GET", path) is Need.OPEN


def test_the_page_about_security_has_the_same_table():
    def names(of):
        return ", ".join(f"`{name}`" for name in of) or "–"

    rows = [
        f"| {row.what} | {row.need} | {names(row.http)} | {names(row.grpc)} |" for row in OPERATIONS
    ]
    assert "\n".join(rows) in DOCS.read_text()
