import pytest

from bundle import Finding
from exporters.report.verdict import verdict_of


@pytest.fixture
def verdict(report):
    def judge(*statuses, allowed=()):
        findings = tuple(
            Finding(check=check, status=status, measured=None, tolerance=None, meaning="")
            for check, status in statuses
        )
        changes = {"findings": findings, "allowed": allowed}
        return verdict_of(
            report.model_copy(update={"manifest": report.manifest.model_copy(update=changes)})
        )

    return judge


def test_a_failure_refuses_and_says_how_to_allow_it(verdict):
    found = verdict(("a", "fail"), ("b", "warn"), ("a", "fail"))
    assert (found.status, found.allow) == ("fail", "a")
    assert found.said == "Not to be served: a failed."


def test_only_what_was_not_allowed_refuses(verdict):
    found = verdict(("a", "fail"), ("b", "fail"), allowed=("a",))
    assert found.said == "Not to be served: b failed."


def test_an_allowed_failure_is_no_pass(verdict):
    found = verdict(("a", "fail"), ("b", "pass"), allowed=("a",))
    assert (found.status, found.allow) == ("warn", "")
    assert found.said == "Written although a failed, which was allowed."


def test_many_names_are_cut(verdict):
    found = verdict(*((name, "warn") for name in "abcdef"))
    assert found.said == "No check failed; look at a, b, c, d and 2 more."


def test_what_does_not_apply_is_no_remark(verdict):
    assert verdict(("a", "pass"), ("b", "not_applicable")).status == "pass"
