from pathlib import Path

import pytest

from bundle import checks as checks_package
from bundle.checks import Registry, Subject, checks, run_checks
from bundle.errors import InputInvalid
from bundle.manifest import Finding
from tests.bundle.checks.texts import parse

PAGES = Path(__file__).parents[3] / "docs" / "checks"
RELU = parse("(float[batch, 4] x) => (float[batch, 4] y) { y = Relu (x) }")


def test_there_are_the_checks_that_need_no_torch():
    assert list(checks()) == [
        "batch-invariance",
        "determinism",
        "optimization-parity",
        "provider-parity",
        "threads-parity",
    ]


def test_every_check_has_its_page_and_the_list_names_it():
    listed = (PAGES / "README.md").read_text()
    for name in checks():
        page = (PAGES / f"{name}.md").read_text()
        assert f"({name}.md)" in listed
        for section in ("## What is measured", "## A model that fails", "## The mend"):
            assert section in page, f"{name}: {section}"


def test_checks_run_in_the_order_asked_for_and_say_so():
    told = []
    names = ["threads-parity", "batch-invariance"]
    findings = run_checks(Subject(model=RELU), names, lambda *said: told.append(said))
    assert [finding.check for finding in findings] == names
    assert told == [(0, 2, names[0]), (1, 2, names[1]), (2, 2, "")]


def test_all_checks_run_where_none_is_named():
    assert [finding.check for finding in run_checks(Subject(model=RELU))] == list(checks())


def test_a_check_that_does_not_exist_is_an_error_that_names_those_that_do():
    with pytest.raises(KeyError, match="no check 'speed'; there are batch-invariance"):
        run_checks(Subject(model=RELU), ["speed"])


def test_a_model_that_cannot_be_opened_fails_its_checks(tmp_path):
    (finding,) = run_checks(Subject(model=tmp_path / "missing.onnx"), ["batch-invariance"])
    assert finding.status == "fail"
    assert "there is no model file" in finding.meaning


class Broken:
    NAME = "broken"

    @staticmethod
    def check(subject):
        raise ZeroDivisionError(subject)


class Fine:
    NAME = "fine"

    @staticmethod
    def check(subject):
        return tuple(
            Finding(check="fine", status="pass", measured=None, tolerance=None, meaning=str(number))
            for number in range(subject)
        )


class Unfed:
    NAME = "unfed"

    @staticmethod
    def check(subject):
        raise InputInvalid(f"no input of {subject}.")


class Three(Registry[int]):
    @property
    def checks(self):
        return {each.NAME: each for each in (Broken, Fine, Unfed)}


def test_a_defect_of_one_check_fails_it_and_hides_no_other():
    findings = Three(checks_package).run(2)
    assert [(f.check, f.status) for f in findings] == [
        ("broken", "fail"),
        ("fine", "pass"),
        ("fine", "pass"),
        ("unfed", "not_applicable"),
    ]
    assert "ZeroDivisionError" in findings[0].meaning


def test_a_scalar_model_is_examined():
    scalar = parse("(float x) => (float y) { y = Relu (x) }")
    findings = run_checks(Subject(model=scalar))
    assert {finding.status for finding in findings} <= {"pass", "not_applicable"}
