import os
import subprocess
import sys

import pytest

from service.metrics.proc import Proc
from tests.service.metrics.fakes import process

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def test_what_a_process_has_used_is_read_whatever_its_name(tmp_path):
    process(tmp_path, 7, parent=1, name="a (b) 1 2", ticks=(100, 50, 30, 20), pages=3)
    usage = Proc(tmp_path).usage(7)
    assert usage.parent == 1
    assert usage.cpu_s == pytest.approx(150 * TICK_S)
    assert usage.ended_cpu_s == pytest.approx(50 * TICK_S)
    assert usage.resident_bytes == 3 * os.sysconf("SC_PAGE_SIZE")


def test_a_tree_is_a_process_and_all_that_descend_from_it(tmp_path):
    for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 1), (6, 2)):
        process(tmp_path, pid, parent=parent)
    (tmp_path / "self").mkdir()
    (tmp_path / "99").mkdir()  # it has just ended
    assert sorted(Proc(tmp_path).tree(2)) == [2, 3, 4, 6]
    assert Proc(tmp_path).tree(99) == {}


def test_shared_memory_is_divided_among_those_that_have_it(tmp_path):
    process(tmp_path, 2, parent=1, pss_kib=12)
    process(tmp_path, 3, parent=1)
    assert Proc(tmp_path).proportional_bytes(2) == 12 * 1024
    assert Proc(tmp_path).proportional_bytes(3) is None


def test_a_process_that_is_not_there_has_used_nothing(tmp_path):
    assert Proc(tmp_path).usage(5) is None


def test_this_process_and_its_children_are_told():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        tree = Proc().tree(os.getpid())
        assert {os.getpid(), child.pid} <= tree.keys()
        assert tree[child.pid].parent == os.getpid()
        assert tree[os.getpid()].cpu_s == pytest.approx(sum(os.times()[:2]), abs=0.5)
        assert tree[os.getpid()].resident_bytes > 10 * 2**20
    finally:
        child.communicate(b"\n")
