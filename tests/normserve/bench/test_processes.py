"""What a process and those that it has started use."""

import subprocess
import sys
import time
from contextlib import contextmanager

from normserve.bench.processes import ProcessTree

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
child.wait()
"""
QUIET = "print(flush=True); import sys; sys.stdin.read()"
LARGE = f"content = b'x' * (64 << 20); {QUIET}"
BUSY = f"print(sum(i * i for i in range(3_000_000)), flush=True); {QUIET}"
LONGER = f"print(flush=True); sum(i * i for i in range(5_000_000)); {QUIET}"
OPEN = f"import threading; files = [open('/dev/null') for _ in range(10)]; {QUIET}"


@contextmanager
def tree_of(program):
    """A process whose child runs a program, once that has done what it does."""
    command = [sys.executable, "-c", PARENT, program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield ProcessTree(process.pid)
        process.stdin.close()


def test_children_belong_to_it():
    with tree_of(QUIET) as tree:
        first, child = tree.ids()
        assert first == tree.pid
        assert tree.children(first) == [child]
        assert tree.threads() == 2


def test_memory_and_descriptors_of_children_count():
    with tree_of(QUIET) as quiet, tree_of(LARGE) as large, tree_of(OPEN) as opened:
        assert 60 < large.resident_mib() - quiet.resident_mib() < 70
        assert opened.descriptors() - quiet.descriptors() == 10


def test_what_two_processes_share_counts_once():
    with tree_of(QUIET) as two:
        (child,) = two.children(two.pid)
        one = ProcessTree(child)
        assert two.resident_mib() < 2 * one.resident_mib()


def test_processor_time_of_children_counts():
    with tree_of(QUIET) as quiet, tree_of(BUSY) as busy:
        assert busy.cpu_s() > quiet.cpu_s()


def test_it_is_idle_once_all_have_done_what_they_had_to_do():
    with tree_of(LONGER) as tree:
        tree.wait_until_idle()
        used = tree.cpu_s()
        time.sleep(0.3)
        assert tree.cpu_s() - used < 0.1
        assert used > 0.1  # the five millions were counted


def test_a_process_that_has_ended_uses_nothing():
    with tree_of(QUIET) as tree:
        pass
    assert tree.resident_mib() == 0
    assert tree.descriptors() == 0
