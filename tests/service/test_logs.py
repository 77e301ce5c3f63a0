import json
import logging
import subprocess
import sys

import pytest
import structlog


def run(log_format, code):
    program = (
        "import logging, structlog\nfrom service.logs import configure_logging\n"
        f"configure_logging(log_format={log_format!r}, level='info')\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


CODE = """
structlog.stdlib.get_logger("a").info("hello", model="m")
structlog.stdlib.get_logger("a").debug("too little")
logging.getLogger("b").warning("from %s", "elsewhere")
try:
    1 / 0
except ZeroDivisionError:
    structlog.stdlib.get_logger("a").exception("bad")
"""


def test_each_line_can_be_a_json_object():
    first, second, third = map(json.loads, run("json", CODE).splitlines())
    assert first["event"] == "hello"
    assert first["model"] == "m"
    assert first["level"] == "info"
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "from elsewhere"
    assert third["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_or_lines_for_a_person():
    text = run("console", CODE)
    assert "hello" in text
    assert "from elsewhere" in text
    assert "ZeroDivisionError" in text
    assert "\x1b" not in text  # no colours where there is no terminal


HOSTILE = "a\nb\r\x1b[31mred\x1b[0m\x00\x9b\u2028\u202eevil\ud800 é ☃"


@pytest.mark.parametrize("where", ["event", "value", "standard library"])
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_a_client_chose_breaks_no_line_and_steers_no_terminal(log_format, where):
    said = {
        "event": f"structlog.stdlib.get_logger('a').info({HOSTILE!r})",
        "value": f"structlog.stdlib.get_logger('a').info('said', path={HOSTILE!r})",
        "standard library": f"logging.getLogger('b').warning('%s', {HOSTILE!r})",
    }
    text = run(log_format, said[where])
    assert text.count("\n") == 1
    assert text.removesuffix("\n").isprintable()
    assert "red" in text
    if log_format == "console":
        assert "é ☃" in text


def test_a_traceback_still_has_lines():
    assert run("console", CODE).count("\n") > 5


EVENTS = [
    {"event": "request", "path": "/v2/models/m/infer", "status": 200, "duration_ms": 1.25},
    {"event": "a very long event that needs more room than others do", "of": None, "x": ""},
    {"event": "short"},
    {"event": "quoted", "reason": "it's = so", "names": ["a", "b"]},
]


def test_a_line_without_colours_is_structlogs_own():
    said = "".join(f"structlog.stdlib.get_logger('a').warning(**{event!r})\n" for event in EVENTS)
    renderer = structlog.dev.ConsoleRenderer(colors=False)
    lines = [line.split(" ", 1) for line in run("console", said).splitlines()]
    for (timestamp, rest), event in zip(lines, EVENTS, strict=True):
        said_of = {**event, "timestamp": timestamp, "level": "warning"}
        wanted = renderer(None, "warning", said_of)
        assert f"{timestamp} {rest}" == wanted


@pytest.fixture(autouse=True)
def _root_logger_untouched():
    before = list(logging.getLogger().handlers)
    yield
    assert logging.getLogger().handlers == before


SOON = """
import asyncio
from service.logs import log_soon

async def turn():
    for number in (1, 2):
        said = {{"event": "request", "path": {hostile!r}, "number": number}}
        log_soon(said, has_context={context})
    structlog.stdlib.get_logger("a").info("in between")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    structlog.stdlib.get_logger("a").info("after it")

structlog.contextvars.bind_contextvars(bound="yes")
asyncio.run(turn())
asyncio.run(turn())
log_soon({{"event": "at once"}}, has_context=False)
structlog.stdlib.get_logger("a").info("last")
"""


@pytest.mark.parametrize("context", [True, False])
def test_what_happens_in_a_turn_of_the_loop_is_written_together(context):
    text = run("json", SOON.format(hostile=HOSTILE, context=context))
    lines = [json.loads(line) for line in text.splitlines()]
    turn = ["in between", "request", "request", "after it"]
    assert [line["event"] for line in lines] == [*turn, *turn, "at once", "last"]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["number"] for line in requests] == [1, 2, 1, 2]
    assert {line.get("bound") for line in requests} == {"yes" if context else None}
    assert {line["level"] for line in lines} == {"info"}
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_such_lines_are_as_safe_and_as_structlog_writes_them():
    said = SOON.format(hostile=HOSTILE, context=False)
    said += f"structlog.stdlib.get_logger('a').info('request', path={HOSTILE!r}, number=1)\n"
    lines = [line.split(" ", 1)[1] for line in run("console", said).splitlines()]
    assert all(line.isprintable() for line in lines)
    assert lines[1] == lines[-1].replace(" bound=yes", "")


def test_levels_hold_for_them_too():
    said = (
        "from service.log_settings import LogControl, LogSettings\n"
        "from service.logs import log_soon\n"
        "control = configure_logging(log_format='json', level='info')\n"
        "control.update({'log_info': False})\n"
        "log_soon({'event': 'request'}, has_context=False)\n"
        "control.update({'log_info': True})\n"
        "log_soon({'event': 'heard'}, has_context=False)\n"
    )
    assert [json.loads(line)["event"] for line in run("json", said).splitlines()] == ["heard"]
