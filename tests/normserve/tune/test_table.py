from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from bundle import AS_IT_COMES
from normserve.tune.evidence import Comparison, Evidence, Trial
from normserve.tune.search import Duel, Rated
from normserve.tune.setting import Setting
from normserve.tune.table import said, trial_table

ONE = Setting(threads=1, instances=2, rows=1, tuning=AS_IT_COMES)
TWO = Setting(threads=2, instances=1, rows=8, tuning=AS_IT_COMES)


def evidence(*trials, objective="throughput", load=None, duel=None):
    decided = None if duel is None else Comparison.of("a stage", ONE, TWO, duel)
    return Evidence(
        model="m",
        version=3,
        model_sha256="0" * 64,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        normserve="1",
        runtime="onnxruntime 1",
        provider="CPUExecutionProvider",
        device="a processor",
        cores=2,
        load=load,
        objective=objective,
        budget_s=1.0,
        seconds=1.0,
        batching="bitwise",
        rule="a rule",
        present={"threads": 1, "instances": 2, "rows": 1, "tuning": {}},
        chosen={"threads": 2, "instances": 1, "rows": 8, "tuning": {}},
        gain=decided if decided is not None and decided.is_better else None,
        comparisons=() if decided is None else (decided,),
        trials=trials,
    )


def shown(told):
    console = Console(width=120, file=StringIO())
    console.print(trial_table(told))
    return console.file.getvalue()


def test_each_way_is_shown_with_its_rate_and_how_it_compares():
    told = evidence(
        Trial.rated("a stage", Rated(ONE, (1000.0, 1500.0, 1200.0), (1.0, 1.0, 1.0))),
        Trial.rated("a stage", Rated(TWO, (2000.0,), (1.5,))),
    )
    assert "1 thread, 2 at once, 1 row" in shown(told)
    assert "1,200" in shown(told)
    assert "1.50 to 1.50" in shown(told)


def test_for_latency_it_is_the_time_of_a_run():
    trial = Trial.rated("a stage", Rated(ONE, (400.0,), (1.0,)))
    assert "2.5" in shown(evidence(trial, objective="latency"))


def test_a_way_that_was_not_measured_says_why():
    trial = Trial.without("a stage", TWO, "refused: output 'y' [is] outside its tolerance")
    assert "refused: output 'y' [is] outside its tolerance" in shown(evidence(trial))


def test_what_was_decided_is_said_with_its_doubt():
    (line, last) = said(evidence(duel=Duel((1.5,) * 11)))
    assert "2 threads, 1 at once, 8 rows is 1.50 times as quick" in line
    assert line.endswith("(1.50 at least, 1.50 to 1.50, 11 rounds): better")
    assert last == "chosen: 2 threads, 1 at once, 8 rows, 1.50 times as quick"


def test_too_few_rounds_are_said_to_be_too_few():
    (line, last) = said(evidence(duel=Duel((2.0, 2.0))))
    assert "(too few rounds, 2.00 to 2.00, 2 rounds): noise" in line
    assert last == "nothing is better than the present way beyond noise"


def test_a_busy_machine_is_told():
    assert "tune again when nothing else runs" in next(said(evidence(load=3.0)))
    assert not any("busy" in line for line in said(evidence(load=0.5)))
