from pathlib import Path

from exporters.checks import TORCH_CHECKS

PAGES = Path(__file__).parents[3] / "docs" / "checks"


def test_every_check_has_a_page_which_the_index_names():
    index = (PAGES / "README.md").read_text()
    for name in TORCH_CHECKS.checks:
        page = (PAGES / f"{name}.md").read_text()
        assert f"[{name}]({name}.md)" in index
        for section in ("## What is measured", "## A model that fails", "## The mend"):
            assert section in page, f"{name}: {section}"


def test_a_check_has_the_name_of_its_module():
    for name, check in TORCH_CHECKS.checks.items():
        assert check.__name__.rpartition(".")[2] == name.replace("-", "_")
