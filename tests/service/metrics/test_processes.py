import os

from service.budget import Budget
from service.cores import Cores
from service.metrics.budget import BudgetCollector
from service.metrics.proc import Proc
from service.metrics.processes import ProcessesCollector
from service.registry import Registry
from tests.service.metrics.fakes import Engine, process
from tests.service.metrics.scraping import scrape, serve


def values(collector):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_each_model_has_the_numbers_of_its_own_process(tmp_path):
    registry = Registry()
    serve(registry, "alive", engine=Engine(7, deaths=2))
    serve(registry, "gone", engine=Engine(8))
    serve(registry, "away", engine=Engine(None, deaths=3))
    serve(registry, "elsewhere")
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    process(tmp_path, 7, parent=1, ticks=(6, 4, 100, 100), pages=2)
    got = values(ProcessesCollector(registry, Proc(tmp_path)))
    page = os.sysconf("SC_PAGE_SIZE")
    assert got == {
        ("normserve_worker_cpu_seconds_total", "alive", "1"): 10 * tick_s,
        ("normserve_worker_resident_memory_bytes", "alive", "1"): 2 * page,
        ("normserve_worker_deaths_total", "alive", "1"): 2,
        ("normserve_worker_deaths_total", "gone", "1"): 0,
        ("normserve_worker_deaths_total", "away", "1"): 3,
    }


def test_a_model_whose_process_does_not_come_back_is_told_too():
    registry = Registry()
    model = serve(registry, "m", engine=Engine(None, deaths=6))
    registry.suspend(model, "its process ended 6 times in a row")
    assert scrape(registry)["normserve_worker_deaths_total", "m", "1"] == 6


def test_all_processes_are_told_together(tmp_path):
    process(tmp_path, os.getpid(), parent=1, ticks=(100, 0, 50, 0), pss_kib=10)
    process(tmp_path, 2**22 + 1, parent=os.getpid(), ticks=(0, 100, 0, 50), pss_kib=5)
    process(tmp_path, 2**22 + 2, parent=2**22 + 1)  # it ends while they are counted
    got = values(ProcessesCollector(Registry(), Proc(tmp_path)))
    assert got["normserve_processes",] == 3
    assert got["normserve_processes_cpu_seconds_total",] == 300 / os.sysconf("SC_CLK_TCK")
    assert got["normserve_processes_memory_bytes",] == 15 * 1024


def test_where_the_kernel_tells_nothing_there_is_nothing(tmp_path):
    assert values(ProcessesCollector(Registry(), Proc(tmp_path))) == {}


def test_the_cores_and_what_is_made_of_them_are_told():
    budget = Budget(cores=Cores(3.5, "quota"), runs=1, threads=3)
    assert values(BudgetCollector(budget)) == {
        ("normserve_cores", "quota"): 3.5,
        ("normserve_concurrent_runs",): 1,
        ("normserve_run_threads",): 3,
        ("normserve_spinning",): 0,
    }
