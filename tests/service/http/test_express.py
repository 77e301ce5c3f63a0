"""What goes past the app, and what does not."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from service.errors import Overloaded
from service.http.express import Express
from service.lifecycle import Service
from service.registry import ServedModel
from service.settings import Settings
from service.signature import Signature
from service.tracing import Tracing
from tests.service import tiny

URL = b"/v2/models/m/infer"
ORDINARY = ((b"host", b"here"), (b"content-length", b"10"))


class Full(tiny.Runner):
    def require_room(self):
        raise Overloaded("too many; try again in 3 s", retry_after_s=3)


class Nobody:
    def reply(self, exchange, response):
        raise AssertionError("nothing was asked")


@asynccontextmanager
async def express(tmp_path, *, tracing=None, runner=None, connection=None, **settings):
    given = Settings(repository=tmp_path, **settings)
    service = Service(given, tracing=tracing)
    service.registry.begin_loading("m", 1)
    service.registry.finish_loading(
        ServedModel(
            name="m",
            version=1,
            signature=Signature(inputs=(), outputs=()),
            runner=runner or tiny.Runner(),
            consistency=tiny.consistency(),
        )
    )
    way = Express.of(given, service)

    def take(url=URL, headers=ORDINARY):
        head = way.read(url, headers)
        return None if head is None else way.take(connection or Nobody(), head)

    take.way = way
    async with service:
        yield take


async def test_an_ordinary_request_does(tmp_path):
    async with express(tmp_path) as take:
        assert take().head.model == "m"
        assert take(b"/v2/models/m/versions/1/infer").head.version == 1


@pytest.mark.parametrize(
    "url",
    [
        b"/v2/models/m",
        b"/v2/models/m/infer/",
        b"/v2/models/m/infer?a=b",
        b"/v2/models/%6d/infer",
        b"/v2/models/m/versions/0/infer",
        b"/v2/models/m/versions/2/infer",
        b"/v2/models/nobody/infer",
        b"http://here/v2/models/m/infer",
    ],
)
async def test_any_other_path_does_not(tmp_path, url):
    async with express(tmp_path) as take:
        assert take(url) is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"content-length", b"x"),),
        ((b"content-length", b"1000000000"),),
        (*ORDINARY, (b"content-encoding", b"gzip")),
        (*ORDINARY, (b"expect", b"100-continue")),
        ((b"transfer-encoding", b"chunked"),),
        (*ORDINARY, (b"x-other", b"a"), (b"x-other", b"b")),
        (*ORDINARY, (b"inference-header-content-length", b"-1")),
        (*ORDINARY, (b"inference-header-content-length", b"2000000")),
        ((b"content-length", b"2000000"),),
    ],
)
async def test_nor_does_anything_out_of_the_ordinary(tmp_path, headers):
    async with express(tmp_path) as take:
        assert take(headers=headers) is None


async def test_with_keys_one_that_is_known_does(tmp_path):
    async with express(tmp_path, inference_keys="open-sesame") as take:
        assert take() is None
        assert take(headers=(*ORDINARY, (b"authorization", b"Bearer wrong"))) is None
        assert take(headers=(*ORDINARY, (b"authorization", b"Bearer open-sesame"))) is not None


async def test_so_many_heads_are_remembered_and_no_more(tmp_path):
    async with express(tmp_path) as take:
        way = take.way
        head = way.read(URL, ORDINARY)
        for number in range(3000):
            sent = b"%d" % number
            way.remember(sent, head)
            assert way.known(sent) is head
        assert sum(way.known(b"%d" % number) is head for number in range(3000)) <= 512


async def test_what_is_traced_does_not(tmp_path):
    exported = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    tracing = Tracing(lambda: exported.SimpleSpanProcessor(memory.InMemorySpanExporter()))
    async with express(tmp_path, tracing=tracing) as take:
        assert take() is None


async def test_where_there_is_no_room_nothing_is_taken_apart(tmp_path):
    replies = []

    class Client:
        def reply(self, exchange, response):
            replies.append(response)

    async with express(tmp_path, runner=Full(), connection=Client()) as take:
        for _ in range(100):
            exchange = take()
            exchange.body.append(b"no JSON")
            take.way.begin(exchange)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(replies) < 100  # what is computed has its turns between them
        with capture_logs() as logs:
            for _ in range(5):
                await asyncio.sleep(0)
    assert {repr(line["status"]) for line in logs} == {"503"}  # and no enumeration's member
    assert {(reply.status_code, reply.headers["retry-after"]) for reply in replies} == {(503, "3")}
    assert len(replies) == 100
