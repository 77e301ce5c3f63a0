import contextlib
import io
import re
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

PAGES = Path(__file__).parents[3] / "docs" / "checks"


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["axes", "running-statistics", "train-eval-gap"])
def test_the_example_of_a_page_prints_what_the_page_says(name):
    page = (PAGES / f"{name}.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, f"{name}.md", "exec"), {})  # noqa: S102 - our own page
    assert words(printed.getvalue()) in words(page)
    assert printed.getvalue()
