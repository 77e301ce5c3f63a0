import io

from rich.console import Console

from normserve.validate.outputs import print_report
from normserve.validate.text import visible
from tests.normserve.validate.outputs.hostile import CONTROLS, NAME, hostile


def printed(width=400):
    console = Console(file=io.StringIO(), width=width)
    print_report(hostile(), console)
    return console.file.getvalue()


def test_the_verdict_comes_first_then_the_findings_then_what_to_do():
    text = printed()
    assert text.startswith(f"FAIL  {NAME} (file): 1 of 2 checks failed: batch-invariance")
    assert text.index("measured") < text.index(f"→ batch-invariance: mend {NAME}")
    assert text.index("mend") < text.index("ERROR  2 targets: 1 failed, 1 could not be examined")


def test_hostile_text_is_shown_and_does_nothing():
    text = printed()
    assert f"{NAME}{visible(CONTROLS)}" in text
    assert not {"\x1b", "\x00", "\r", "\u202e", "\u2028"} & set(text)


def test_a_narrow_terminal_loses_nothing():
    text = "".join(printed(width=60).split())
    assert "".join(f"couldnotbeexamined:{NAME}".split()) in text
