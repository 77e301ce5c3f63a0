import re

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter

from service.errors import RepositoryMissing
from service.http import create_app
from service.settings import Settings


@pytest.fixture(scope="module")
def document(http):
    return http.get("/openapi.json").json()


def test_every_route_is_documented_with_its_errors(document):
    assert set(document["paths"]) == {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{model}",
        "/metrics",
        "/v2/models/{model}/consistency",
        "/v2/models/{model}/versions/{version}/consistency",
        "/v2/models/{model}/config",
        "/v2/models/{model}/versions/{version}/config",
        "/v2/repository/models/{model}/load",
        "/v2/repository/models/{model}/unload",
        "/v2/models/stats",
        "/v2/models/{model}/stats",
        "/v2/models/{model}/versions/{version}/stats",
        "/v2/models/{model}/ready",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}",
        "/v2/models/{model}/versions/{version}/ready",
        "/v2/models/{model}/versions/{version}/infer",
        "/v2/repository/index",
        "/v2/models/{model}/generate",
        "/v2/models/{model}/generate_stream",
        "/v2/models/{model}/versions/{version}/generate",
        "/v2/models/{model}/versions/{version}/generate_stream",
        "/v2/logging",
        "/v2/trace/setting",
        "/v2/models/{model}/trace/setting",
        "/v2/systemsharedmemory/status",
        "/v2/systemsharedmemory/unregister",
        "/v2/systemsharedmemory/region/{region}/status",
        "/v2/systemsharedmemory/region/{region}/register",
        "/v2/systemsharedmemory/region/{region}/unregister",
        "/v2/cudasharedmemory/status",
        "/v2/cudasharedmemory/unregister",
        "/v2/cudasharedmemory/region/{region}/status",
        "/v2/cudasharedmemory/region/{region}/register",
        "/v2/cudasharedmemory/region/{region}/unregister",
    }
    operations = [
        (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
    ]
    for path, operation in operations:
        assert operation["summary"]
        assert len(operation["tags"]) == 1, path
        assert "422" not in operation["responses"], path
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                schema = response["content"]["application/json"]["schema"]
                assert schema["$ref"].endswith("/ErrorBody")
                assert response["content"]["application/json"]["example"]["error"]


def test_every_answer_with_a_body_has_an_example(document):
    without = [
        (path, status, media_type)
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        for media_type, content in response.get("content", {}).items()
        if status.startswith("2") and "example" not in content
    ]
    infer = [path for path in document["paths"] if path.endswith("/infer")]
    assert without == [(path, "200", "application/octet-stream") for path in infer]


def test_examples_are_what_their_routes_answer(document):
    app = create_app(Settings())
    routes = [context.original_route for context in iter_route_contexts(app.routes)]
    models = {
        (route.path, method.lower()): route.response_model
        for route in routes
        if isinstance(route, APIRoute) and route.include_in_schema and route.response_model
        for method in route.methods
    }
    assert models
    for (path, method), model in models.items():
        responses = document["paths"][path][method]["responses"]
        (answer,) = (content for status, content in responses.items() if status.startswith("2"))
        example = answer["content"]["application/json"]["example"]
        adapter = TypeAdapter(model)
        told = adapter.dump_python(adapter.validate_python(example), mode="json")
        assert fields_of(told) == fields_of(example), path


def fields_of(value):
    """The names in a document, which is all of an example that pydantic would not check."""
    return set(value) if isinstance(value, dict) else [fields_of(each) for each in value]


def test_infer_is_documented_with_both_its_forms(document):
    operation = document["paths"]["/v2/models/{model}/infer"]["post"]
    assert set(operation["requestBody"]["content"]) == {
        "application/json",
        "application/octet-stream",
    }
    assert {p["name"] for p in operation["parameters"]} == {
        "model",
        "Inference-Header-Content-Length",
    }
    assert operation["requestBody"]["content"]["application/json"]["example"]["inputs"]


def test_every_reference_leads_somewhere(document, http):
    text = http.get("/openapi.json").text
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names
    assert names <= set(document["components"]["schemas"])


def test_the_documentation_needs_no_other_host(http):
    page = http.get("/docs")
    assert page.status_code == 200
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith("/")
        assert http.get(link).status_code == 200


def test_an_app_is_made_without_a_look_at_the_disk_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMSERVE_HTTP_PORT", "1234")
    settings = Settings(repository=tmp_path / "not there")
    monkeypatch.setenv("NORMSERVE_HTTP_PORT", "no number")
    assert create_app(settings).title == "NormServe"


async def test_an_app_of_no_repository_does_not_start(tmp_path):
    app = create_app(Settings(repository=tmp_path / "not there"))
    with pytest.raises(RepositoryMissing, match="cannot be read"):
        await app.router.lifespan_context(app).__aenter__()


def test_the_fields_of_bodies_are_described_as_they_are_in_the_code(document):
    schemas = document["components"]["schemas"]
    error, region = schemas["ErrorBody"], schemas["RegisterRequest"]
    assert (
        error["properties"]["error"]["description"] == "What was got, what was wanted, what to do."
    )
    assert region["properties"]["offset"]["description"].startswith("Bytes in front of the region")
    assert "description" not in region["properties"]["byte_size"]
    lowered = schemas["PlacementBody"]["properties"]["lowered"]
    assert lowered["description"].startswith("Nodes that were rewritten")
