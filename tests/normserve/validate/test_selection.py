from pathlib import Path

import pytest

from bundle.checks import checks
from normserve.validate.selection import OF_FOLDERS, UnknownCheck, page_of, question_of, select

PAGES = Path(__file__).parents[3] / "docs" / "checks"
OWN = [*OF_FOLDERS.checks, "as-served"]


def test_all_checks_are_wanted_where_none_is_named():
    assert select((), ()).of(["file", "digests"]) == ("file", "digests")


def test_a_check_is_wanted_if_it_is_named_and_not_skipped():
    selection = select(["file", "digests"], ["digests"])
    assert selection.of(["golden-samples", "file", "digests"]) == ("file",)


def test_checks_of_torch_models_can_be_named_too():
    assert select(["eval-parity"], ["export"]).wants("eval-parity")


def test_a_name_that_is_none_is_refused_with_all_that_are():
    with pytest.raises(UnknownCheck, match=r"no check 'speed'; there are as-served, .*threads"):
        select(["speed"], ())


@pytest.mark.parametrize("name", OWN)
def test_every_check_has_its_page_with_its_question_and_the_list_names_it(name):
    page = (PAGES / f"{name}.md").read_text()
    for section in (
        question_of(name),
        "## What is measured",
        "## A model that fails",
        "## The mend",
    ):
        assert section in page
    assert f"[{name}]({name}.md)" in (PAGES / "README.md").read_text()


def test_every_check_asks_a_question():
    assert all("?" in question_of(name) for name in [*OWN, *checks()])
    assert question_of("export").endswith("?")
    assert question_of("nobody") == "nobody"


def test_a_model_that_cannot_be_exported_is_explained_where_exporting_is():
    assert (PAGES.parent.parent / page_of("export")).is_file()
    assert (PAGES.parent.parent / page_of("file")).is_file()
