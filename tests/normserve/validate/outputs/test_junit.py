from junitparser import JUnitXml

from normserve.validate import Examined, Found
from normserve.validate.outputs import to_junit
from normserve.validate.text import visible
from tests.normserve.validate.outputs.hostile import CONTROLS, FOUND, NAME, hostile, passed, report


def suites(report):
    return list(JUnitXml.fromstring(to_junit(report)))


def test_hostile_text_comes_out_as_it_went_in():
    first, second = suites(hostile())
    assert first.name == NAME
    failure, fine = first
    assert failure.result[0].message == visible(FOUND.meaning)
    assert f"mend {NAME}" in failure.result[0].text
    assert fine.is_passed
    (error,) = second
    assert error.is_error
    assert error.classname == NAME + visible(CONTROLS)


def test_the_counts_are_those_of_the_report():
    document = JUnitXml.fromstring(to_junit(hostile()))
    assert (document.tests, document.failures, document.errors, document.skipped) == (3, 1, 1, 0)


def test_what_does_not_apply_is_skipped_and_a_warning_passes_and_says_so():
    warning = Found(check="mode", status="warn", measured=None, tolerance=None, meaning="odd")
    absent = warning.model_copy(update={"status": "not_applicable", "check": "digests"})
    target = Examined(target="x", findings=(warning, absent))
    (suite,) = suites(report(target))
    warned, skipped = suite
    assert warned.is_passed
    assert warned.system_out.startswith("warn: odd")
    assert skipped.is_skipped
    (suite,) = suites(report(target, fail_on="warn"))
    assert next(iter(suite)).is_failure


def test_a_finding_of_the_exporter_has_a_name_of_its_own():
    target = Examined(target="x", findings=(passed("mode"), passed("mode", established="export")))
    (suite,) = suites(report(target))
    assert [case.name for case in suite] == ["mode", "mode (at export)"]
