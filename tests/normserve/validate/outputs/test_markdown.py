import itertools
import re

from markdown_it import MarkdownIt

from normserve.validate.outputs import to_markdown
from normserve.validate.text import visible
from tests.normserve.validate.outputs.hostile import CONTROLS, FOUND, NAME, hostile


def tokens():
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    return parser.parse(to_markdown(hostile()).decode())


def cells(parsed):
    """The text of every cell, table by table, row by row."""
    tables = []
    for token, following in itertools.pairwise(parsed):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type in ("td_open", "th_open"):
            tables[-1][-1].append("".join(part.content for part in following.children))
    return tables


def test_hostile_text_comes_out_as_text_in_its_cell():
    targets, findings = cells(tokens())
    assert [row[1] for row in targets[1:]] == [NAME, NAME + visible(CONTROLS)]
    assert targets[2][2] == f"could not be examined: {NAME}{visible(CONTROLS)}"
    assert findings[1] == [
        "batch-invariance",
        "fail",
        "inf",
        "1e-06 + 0.5·|e|",
        visible(FOUND.meaning),
    ]


def test_nothing_in_hostile_text_is_markup():
    kinds = {
        child.type
        for token in tokens()
        for child in token.children or ()
        if child.type not in ("text", "text_special", "strong_open", "strong_close")
    }
    assert kinds == set()


def test_no_line_is_one_that_a_text_brought():
    lines = to_markdown(hostile()).decode().splitlines()
    assert all(re.match(r"$|[#|-]|[0-9]+ targets|normserve ", line) for line in lines), lines


def test_the_verdict_comes_first_and_the_remedy_last():
    text = to_markdown(hostile()).decode()
    assert text.startswith("## ❌ normserve validate: error\n")
    assert text.index("| check |") < text.index("- **batch-invariance**: mend")
