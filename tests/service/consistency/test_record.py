import pytest

from bundle.certificate import Verdict
from service.consistency import Consistency, Phase
from service.consistency.pace import Pace
from tests.service import tiny


def test_nothing_is_batched_before_a_certificate_allows_it():
    known = tiny.consistency()
    assert not known.batching.allowed
    known.begin()
    assert known.batching.reason.startswith("no certificate was established: it is being examined")
    known.finish(tiny.report(known))
    assert known.batching.allowed
    assert known.batching.reason == "bitwise: as a test says"


@pytest.mark.parametrize(("wanted", "rows"), [(None, 1), (1, 1), (2, 2), (64, 4)])
def test_batches_are_as_large_as_is_wanted_where_they_were_seen_to_agree(wanted, rows):
    plain = tiny.consistency()
    known = Consistency(plain.source, placement=plain.placement, wanted_rows=wanted)
    assert known.batching.rows == 1
    paces = tuple(Pace(rows=size, seconds=1.0 * size) for size in (1, 2, 4))
    report = tiny.report(known).model_copy(update={"paces": paces})
    known.finish(report)
    assert known.batching.rows == rows
    bounded = Consistency(plain.source, placement=plain.placement, wanted_rows=wanted, max_rows=2)
    bounded.finish(report)
    assert bounded.batching.rows == min(rows, 2)
    known.finish(tiny.report(known, verdict=Verdict.DEPENDENT))
    assert known.batching.rows == 1


def test_a_certificate_that_refuses_says_why():
    known = tiny.consistency()
    known.finish(tiny.report(known, verdict=Verdict.DEPENDENT, reason="ReduceMean 'n'"))
    assert not known.batching.allowed
    assert known.batching.reason == "dependent: ReduceMean 'n'"


def test_what_was_known_holds_while_it_is_established_again():
    known = tiny.consistency()
    report = tiny.report(known)
    known.finish(report)
    known.begin()
    assert known.status.phase is Phase.ESTABLISHING
    assert known.status.report == report
    assert known.batching.allowed


def test_a_failure_is_told_and_allows_nothing():
    known = tiny.consistency()
    known.begin()
    known.fail("the process ended with signal 9")
    assert known.status.phase is Phase.FAILED
    assert not known.batching.allowed
    assert known.batching.reason.endswith("the process ended with signal 9")


def test_a_failure_is_no_evidence_against_what_was_established():
    known = tiny.consistency()
    known.finish(tiny.report(known))
    known.begin()
    known.fail("the process ended with signal 9")
    assert known.status.reason == "the process ended with signal 9"
    assert known.batching.allowed


def test_a_report_after_which_another_is_waited_for_is_not_the_last_word():
    known = tiny.consistency()
    known.begin()
    known.finish(tiny.report(known), is_last=False)
    assert known.status.phase is Phase.ESTABLISHING
    assert known.batching.allowed
