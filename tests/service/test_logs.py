import json
import logging
import subprocess
import sys

import pytest


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


@pytest.fixture(autouse=True)
def _root_logger_untouched():
    before = list(logging.getLogger().handlers)
    yield
    assert logging.getLogger().handlers == before
