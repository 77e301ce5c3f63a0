import os

import pytest

from service.metrics.machine import MachineCollector
from service.registry import Registry
from tests.service.metrics.scraping import scrape


def values(collector):
    return {
        sample.name: sample.value for family in collector.collect() for sample in family.samples
    }


def write(proc, *, user, idle, waiting=0):
    (proc / "stat").write_text(f"cpu  {user} 0 0 {idle} {waiting} 0 0 0 99 99\ncpu0 1 1 1 1 1\n")


def test_the_utilization_is_that_of_the_time_since_it_was_read_last(tmp_path):
    write(tmp_path, user=100, idle=100)
    collector = MachineCollector(tmp_path)
    write(tmp_path, user=130, idle=160, waiting=10)
    assert values(collector)["nv_cpu_utilization"] == pytest.approx(0.3)
    write(tmp_path, user=180, idle=160, waiting=10)
    assert values(collector)["nv_cpu_utilization"] == 1
    assert values(collector)["nv_cpu_utilization"] == 0  # no time has passed


def test_memory_is_in_bytes_and_used_is_what_is_not_available(tmp_path):
    (tmp_path / "meminfo").write_text(
        "MemTotal:   1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\nHugePages_Total:    0\n"
    )
    got = values(MachineCollector(tmp_path))
    assert got["nv_cpu_memory_total_bytes"] == 1000 * 1024
    assert got["nv_cpu_memory_used_bytes"] == 600 * 1024


def test_where_the_kernel_tells_nothing_there_is_only_what_is_running(tmp_path):
    assert set(values(MachineCollector(tmp_path))) == {"normserve_build_info"}


def test_this_process_is_told():
    got = scrape(Registry())
    assert got["process_threads",] >= 1
    assert got["process_open_fds",] >= 3
    assert got["process_resident_memory_bytes",] > 10 * 2**20
    assert got["process_cpu_seconds_total",] > 0
    assert 0 <= got["nv_cpu_utilization",] <= 1
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert got["nv_cpu_memory_total_bytes",] == pytest.approx(total, rel=0.01)
