"""Every route of the live table behind the guard, and the ways round it that there could be."""

import re
import socket

import httpx
import pytest
from starlette.routing import Mount

from service.http import create_app
from service.permissions import Need, need_of_route
from service.settings import Settings
from tests.service import tiny

ADMIN = "the-admin-key"
INFERENCE = "a-client-key"
EVERYWHERE = "0.0.0.0"  # noqa: S104  # the apps here are bound to nothing


def keyed(repository):
    return Settings(repository=repository, admin_key=ADMIN, inference_keys=INFERENCE)


def routes(need):
    """The live routes that need something, with something in place of their variable parts."""
    app = create_app(Settings())
    served = [route for route in app.routes if not isinstance(route, Mount)]
    found = [(verb, route.path) for route in served for verb in route.methods - {"HEAD"}]
    return [
        pytest.param(verb, re.sub(r"{\w+}", "1", path), id=f"{verb} {path}")
        for verb, path in sorted(found)
        if need_of_route(verb, path) is need
    ]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def ask(app, verb, path, headers=None):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(verb, path, headers=headers)


def is_refused(reply):
    """Whether it was the guard: others answer 403 too, where a setting has something off."""
    return reply.status_code == 401 or (
        reply.status_code == 403 and re.search(r"\bkey\b|ADMIN_KEY", reply.json()["error"])
    )


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An app with keys."""
    return create_app(keyed(tmp_path_factory.mktemp("none")))


@pytest.fixture(scope="module")
def open_app(tmp_path_factory):
    """An app without keys, on loopback."""
    return create_app(Settings(repository=tmp_path_factory.mktemp("none")))


@pytest.fixture(scope="module")
def public_app(tmp_path_factory):
    """An app without keys, on every address."""
    return create_app(Settings(repository=tmp_path_factory.mktemp("none"), host=EVERYWHERE))


@pytest.mark.parametrize(("verb", "path"), routes(Need.ADMIN))
async def test_an_operation_wants_the_admin_key(app, verb, path):
    for headers in ({}, bearer("a-wrong-key"), {"Authorization": f"Basic {ADMIN}"}):
        reply = await ask(app, verb, path, headers)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert set(reply.json()) == {"error"}
    reply = await ask(app, verb, path, bearer(INFERENCE))
    assert reply.status_code == 403
    assert "needs the admin key" in reply.json()["error"]
    assert not is_refused(await ask(app, verb, path, bearer(ADMIN)))


@pytest.mark.parametrize(("verb", "path"), routes(Need.READ) + routes(Need.INFER))
async def test_inference_and_what_is_told_of_models_want_a_key(app, verb, path):
    for headers in ({}, bearer("a-wrong-key")):
        assert (await ask(app, verb, path, headers)).status_code == 401
    for key in (INFERENCE, ADMIN):
        assert not is_refused(await ask(app, verb, path, bearer(key)))


@pytest.mark.parametrize(("verb", "path"), routes(Need.OPEN))
async def test_probes_and_the_documentation_want_no_key(app, verb, path):
    assert not is_refused(await ask(app, verb, path))


@pytest.mark.parametrize(("verb", "path"), routes(Need.ADMIN))
async def test_without_a_key_operations_are_off_beyond_loopback(open_app, public_app, verb, path):
    reply = await ask(public_app, verb, path)
    assert reply.status_code == 403
    assert "NORMSERVE_ADMIN_KEY" in reply.json()["error"]
    assert not is_refused(await ask(open_app, verb, path))
    for headers in ({"Host": "example.org"}, {"Origin": "http://example.org"}, {"Via": "1.1 a"}):
        assert is_refused(await ask(open_app, verb, path, headers))


def test_an_app_with_a_route_that_is_not_in_the_table_is_none(monkeypatch):
    monkeypatch.setattr("service.http.guard.need_of_route", lambda verb, path: None)
    with pytest.raises(LookupError, match=r"not in service/permissions\.py"):
        create_app(Settings())


async def test_an_app_with_a_route_behind_the_guards_back_does_not_start(tmp_path):
    app = create_app(Settings(repository=tmp_path))
    app.add_api_route("/open", lambda: "sesame")
    with pytest.raises(LookupError, match="/open"):
        await app.router.lifespan_context(app).__aenter__()


async def test_the_files_of_the_documentation_are_only_read(app):
    reply = await ask(app, "POST", "/static-offline-docs/swagger-ui.css")
    assert reply.status_code == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert (await ask(app, "GET", "/static-offline-docs/swagger-ui.css")).status_code == 200
    for path in ("..%2f..%2f..%2fapp.py", "%2e%2e/%2e%2e/core.py", "....//core.py"):
        assert (await ask(app, "GET", f"/static-offline-docs/{path}")).status_code == 404


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """The address of a server with keys."""
    repository = tmp_path_factory.mktemp("repository")
    tiny.write_plain(repository, "m", tiny.scale(2.0))
    with tiny.live_server(keyed(repository)) as url:
        yield url.removeprefix("http://")


def send(address, *lines):
    """The status that a request, line by line, is answered with."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        text = "\r\n".join([*lines, "Connection: close", "", ""])
        connection.sendall(text.encode("latin-1"))
        reply = connection.makefile("rb").read()
    assert b"double" not in reply
    return int(reply.split()[1])


LOAD = "/v2/repository/models/m/load"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (f"POST {LOAD} HTTP/1.1", 401),
        (f"POST {LOAD}?key={ADMIN}&access_token={ADMIN} HTTP/1.1", 401),
        (f"POST http://localhost{LOAD} HTTP/1.1", 401),
        (f"POST http://{ADMIN}@localhost{LOAD} HTTP/1.1", 401),
        (f"POST {LOAD.replace('load', '%6co%61d')} HTTP/1.1", 401),
        (f"POST {LOAD.replace('/m/', '%2fm%2F')} HTTP/1.1", 401),
        (f"POST {LOAD}/ HTTP/1.1", 404),
        (f"POST /{LOAD} HTTP/1.1", 404),
        (f"POST /v2/health/..{LOAD.removeprefix('/v2')} HTTP/1.1", 404),
        (f"POST /static-offline-docs/../..{LOAD} HTTP/1.1", 405),
        (f"POST {LOAD.upper()} HTTP/1.1", 404),
        (f"POST {LOAD};x HTTP/1.1", 404),
        (f"GET {LOAD} HTTP/1.1", 405),
        (f"HEAD {LOAD} HTTP/1.1", 405),
        (f"OPTIONS {LOAD} HTTP/1.1", 405),
        ("HEAD /v2/systemsharedmemory/status HTTP/1.1", 401),
        ("HEAD /v2/models/m HTTP/1.1", 401),
        (f"POST {LOAD} HTTP/1.0", 401),
    ],
)
def test_no_spelling_of_a_path_gets_past_the_guard(live, line, status):
    assert send(live, line, "Host: localhost", "Content-Length: 0") == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([f"Authorization: Bearer {ADMIN}"], 200),
        ([f"authorization:bearer {ADMIN}"], 200),
        ([f"Authorization: Bearer {ADMIN}", f"Authorization: Bearer {ADMIN}"], 401),
        (["Authorization: Bearer wrong-key", f"Authorization: Bearer {ADMIN}"], 401),
        ([f"Authorization: Bearer {ADMIN}\xff"], 401),
        ([f"Authorization: {ADMIN}"], 401),
        ([f"Proxy-Authorization: Bearer {ADMIN}"], 401),
        ([f"X-Api-Key: {ADMIN}"], 401),
        ([f"Cookie: Authorization=Bearer {ADMIN}"], 401),
        (["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1"], 401),
        (["X-HTTP-Method-Override: GET", "X-Original-URL: /v2/health/live"], 401),
        (["Host: localhost", "Host: localhost"], 401),
    ],
)
def test_a_key_is_in_one_header_and_nothing_else_is_a_key(live, headers, status):
    line = f"POST {LOAD} HTTP/1.1"
    assert send(live, line, "Host: localhost", "Content-Length: 0", *headers) == status


def test_the_document_says_which_operations_want_a_key_where_there_is_one(app, open_app):
    for path, operations in app.openapi()["paths"].items():
        for verb, operation in operations.items():
            need = need_of_route(verb.upper(), path)
            wanted = {Need.OPEN: set(), Need.ADMIN: {"401", "403"}}.get(need, {"401"})
            assert wanted <= set(operation["responses"])
            assert ("security" in operation) == bool(wanted)
            for status in wanted:
                assert "ErrorBody" in str(operation["responses"][status]["content"])
    assert app.openapi()["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "securitySchemes" not in open_app.openapi()["components"]
    assert "401" not in str(open_app.openapi()["paths"])
