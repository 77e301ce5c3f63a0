"""What the log settings may be, and that they hold in the real log."""

import json
import subprocess
import sys

import pytest

from service.errors import ParameterInvalid
from service.log_settings import LogControl, LogSettings

AT_START = {
    "log_file": "",
    "log_info": True,
    "log_warning": True,
    "log_error": True,
    "log_verbose_level": 0,
    "log_format": "default",
}


@pytest.fixture
def control():
    return LogControl(LogSettings())


@pytest.mark.parametrize(
    ("level", "differs"),
    [
        ("debug", {"log_verbose_level": 1}),
        ("info", {}),
        ("warning", {"log_info": False}),
        ("error", {"log_info": False, "log_warning": False}),
    ],
)
def test_they_begin_as_the_level_of_the_settings_says(level, differs):
    assert LogSettings.from_level(level).values() == AT_START | differs


def test_what_is_given_changes_and_the_rest_stays(control):
    changes = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert control.update(changes).values() == AT_START | changes
    assert control.update({"log_info": None}).values() == AT_START | changes
    assert control.update({"log_info": True}).log_verbose_level == 2


def test_unknown_names_are_ignored_as_triton_does(control):
    assert control.update({"log_colour": "blue", "log_file": ""}).values() == AT_START


def test_everything_that_was_read_can_be_sent_back(control):
    assert control.update(control.settings.values()).values() == AT_START


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_info": "yes"}, "log_info must be true or false; got a string, 'yes'"),
        ({"log_warning": 1}, "log_warning must be true or false; got a number, 1"),
        ({"log_error": []}, "log_error must be true or false; got an array"),
        ({"log_verbose_level": -1}, "an integer from 0 to 4294967295; got a number, -1"),
        ({"log_verbose_level": 2**32}, "an integer from 0 to 4294967295"),
        ({"log_verbose_level": True}, "got a boolean"),
        ({"log_verbose_level": 1.5}, "got a number, 1.5"),
        ({"log_format": "xml"}, "log_format must be default or ISO8601; got a string, 'xml'"),
        ({"log_format": ["default"]}, "got an array"),
        ({"log_file": "/etc/passwd"}, "the log goes to standard error"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(control, changes, message):
    with pytest.raises(ParameterInvalid) as caught:
        control.update({"log_info": False} | changes)
    assert message in str(caught.value)
    assert control.settings.values() == AT_START


PROGRAM = """
import logging, structlog
from service.logs import configure_logging
control = configure_logging(log_format="json", level="info")
ours, theirs = structlog.stdlib.get_logger("ours"), logging.getLogger("theirs")
def speak(number):
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(ours, level)("said", number=number)
        getattr(theirs, level)("said %d", number)
speak(0)
control.update({"log_verbose_level": 1})
speak(1)
control.update({"log_verbose_level": 0, "log_warning": False})
speak(2)
control.update({"log_info": False, "log_error": False})
speak(3)
"""


def test_they_hold_at_run_time_for_every_logger_of_the_process():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    everything = ["debug", "info", "warning", "error", "critical"]
    expected = [
        everything[1:],
        everything,
        ["info", "error", "critical"],
        ["critical"],
    ]
    for number, levels in enumerate(expected):
        of_ours = [line["level"] for line in lines if line.get("number") == number]
        of_theirs = [line["level"] for line in lines if line["event"] == f"said {number}"]
        assert of_ours == of_theirs == levels


def test_whoever_follows_them_is_told_at_once_and_of_every_change(control):
    seen = []
    control.follow(lambda settings: seen.append(settings.log_info))
    control.update({"log_info": False})
    control.replace(LogSettings())
    assert seen == [True, False, True]
