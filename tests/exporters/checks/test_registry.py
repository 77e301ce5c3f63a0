from pathlib import Path

from exporters.checks import TORCH_CHECKS

PAGES = Path(__file__).parents[3] / "docs" / "checks"


def test_every_check_has_a_page_which_the_index_names():
    index = (PAGES / "README.md").read_text()
    for name in TORCH_CHECKS.checks:
        assert (PAGES / f"{name}.md").is_file(), name
        assert f"[{name}]({name}.md)" in index


def test_a_check_has_the_name_of_its_module():
    for name, check in TORCH_CHECKS.checks.items():
        assert check.__name__.rpartition(".")[2] == name.replace("-", "_")
