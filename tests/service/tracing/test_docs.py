"""The commands of ``docs/tracing.md`` and ``docs/logging.md``, run as they stand there."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from service.log_settings import LogSettings
from service.settings import Settings
from service.tracing import TraceSettings
from tests.service import tiny

DOCS = Path(__file__).parents[3] / "docs"


def page(name):
    return (DOCS / f"{name}.md").read_text()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    repository = tmp_path_factory.mktemp("documented")
    tiny.write_plain(repository, "resnet", tiny.scale(2.0))
    settings = Settings(repository=repository, otel_endpoint="http://127.0.0.1:9", trace_ratio=0)
    with tiny.live_server(settings) as address:
        yield address


def answers(name, url):
    """What each curl of a page answers; the page's address is that of a server of the test."""
    commands = re.findall(r"^curl localhost:8000.*$", page(name), re.MULTILINE)
    for command in commands:
        here = command.replace("localhost:8000", url)
        done = subprocess.run(["bash", "-c", here], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)


def test_the_trace_settings_of_the_page(url):
    start, rated, counted, cleared, off = answers("tracing", url)
    assert start["trace_level"] == ["TIMESTAMPS"]
    assert rated == start | {"trace_rate": "100"}
    assert counted == start | {"trace_count": "20"}
    assert cleared == rated
    assert off == rated | {"trace_level": ["OFF"]}


def test_the_log_settings_of_the_page(url):
    start, quiet, verbose = answers("logging", url)
    assert quiet == start | {"log_info": False}
    assert verbose == start | {"log_verbose_level": 1}


def named(name):
    """The settings in the first column of a page's table of them."""
    table = page(name).partition("| setting |")[2]
    cells = re.findall(r"^\| (`(?:trace|log)_[^|]*)\|", table, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", " ".join(cells)))


def test_every_setting_is_documented():
    assert named("tracing") == set(TraceSettings(is_possible=True).values())
    assert named("logging") == set(LogSettings().values())
