import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.consistency.helper import Helper
from service.errors import HelperFailed, HelperRefused
from tests.service import tiny
from tests.service.consistency import tasks

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def helper():
    helper = Helper()
    yield helper
    helper.close()
    helper.stop()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_task_is_done_in_another_process_of_the_lowest_priority(helper):
    pid, priority = helper.ask(tasks.Priority(), timeout_s=60)
    assert pid != os.getpid()
    assert priority == 19


def test_one_process_does_many_tasks(helper):
    first, second = (helper.ask(tasks.Priority(), timeout_s=60)[0] for _ in range(2))
    assert first == second


def test_what_cannot_be_done_is_told(helper):
    with pytest.raises(HelperRefused, match="no wish to run"):
        helper.ask(tasks.Refuse(), timeout_s=60)


def test_a_bug_is_told_with_its_traceback_and_the_process_goes_on(helper):
    with pytest.raises(HelperFailed, match=r"(?s)unexpected.*tasks\.py.*ZeroDivisionError: a bug"):
        helper.ask(tasks.Stumble(), timeout_s=60)
    assert helper.ask(tasks.Double(4), timeout_s=60) == 8


def test_a_process_that_dies_is_told_and_replaced(helper):
    with pytest.raises(HelperFailed, match="ended with status 7"):
        helper.ask(tasks.Crash(), timeout_s=60)
    assert helper.ask(tasks.Double(4), timeout_s=60) == 8


def test_what_takes_too_long_is_given_up_and_leaves_no_process(helper):
    pid, _ = helper.ask(tasks.Priority(), timeout_s=60)
    with pytest.raises(HelperFailed, match=r"longer than 0\.1 seconds"):
        helper.ask(tasks.Hang(), timeout_s=0.1)
    assert not is_alive(pid)


def test_a_machine_that_has_no_room_for_a_process_is_told(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("subprocess.Popen", full)
    with pytest.raises(HelperFailed, match="no process can be started: Resource temporarily"):
        Helper().ask(tasks.Double(1), timeout_s=60)


def test_closing_ends_what_is_being_done_and_what_would_be():
    helper = Helper()
    told = []

    def ask():
        helper.ask(tasks.Double(1), timeout_s=60)
        told.append("began")
        try:
            helper.ask(tasks.Hang(), timeout_s=3600)
        except HelperFailed as err:
            told.append(str(err))

    thread = threading.Thread(target=ask)
    thread.start()
    tiny.wait_for(lambda: told)
    began = time.monotonic()
    helper.close()
    thread.join()
    assert time.monotonic() - began < 5
    assert "signal 9" in told[1]
    with pytest.raises(HelperFailed, match="being stopped"):
        helper.ask(tasks.Double(1), timeout_s=60)


_SERVER = """
from service.consistency.helper import Helper
from tests.service.consistency import tasks
helper = Helper()
print(helper.ask(tasks.Priority(), timeout_s=60)[0], flush=True)
helper.ask(tasks.Hang(), timeout_s=3600)
"""


def test_a_server_that_is_killed_leaves_no_process_that_goes_on():
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        pid = int(server.stdout.readline())
        server.kill()
    tiny.wait_for(lambda: not is_alive(pid))
