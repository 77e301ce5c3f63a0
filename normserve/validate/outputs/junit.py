"""A report as JUnit XML: a suite for each target, a case for each finding."""

import io

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from normserve.validate.document import Examined, Found, Report
from normserve.validate.outputs.wording import measured_of, name_of, tolerance_of
from normserve.validate.text import visible

__all__ = ["to_junit"]


def to_junit(report: Report) -> bytes:
    """The document, in UTF-8.

    What makes the run fail is a failure, what does not apply is skipped, and a target that could
    not be examined is an error. A warning that does not make the run fail passes, and says so in
    its output.
    """
    document = JUnitXml("normserve validate")
    for examined in report.targets:
        document.add_testsuite(_suite(examined, report))
    document.update_statistics()  # type: ignore[no-untyped-call]  # ships no types for it
    buffer = io.BytesIO()
    document.write(buffer)
    return buffer.getvalue()


def _suite(examined: Examined, report: Report) -> TestSuite:
    name = visible(examined.target)
    suite = TestSuite(name)
    suite.timestamp = report.created.isoformat()
    for found in examined.findings:
        suite.add_testcase(_case(found, name, report))
    if examined.error:
        case = TestCase("examination", classname=name)
        case.result = Error(visible(examined.error), "error")
        suite.add_testcase(case)
    return suite


def _case(found: Found, classname: str, report: Report) -> TestCase:
    case = TestCase(visible(name_of(found)), classname=classname)
    meaning = visible(found.meaning)
    if found.status == "not_applicable":
        case.result = Skipped(meaning)
        return case
    said = (
        f"{meaning}\nmeasured {measured_of(found)}, tolerance {tolerance_of(found.tolerance)}"
        f"\n{visible(found.remedy)}".rstrip()
    )
    if report.fails(found.counts_as):
        failure = Failure(meaning, found.check)
        failure.text = said
        case.result = failure
    else:
        case.system_out = f"{found.counts_as}: {said}"
    return case
