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
