from pathlib import Path

import pytest

from service import errors
from service.http.errors import status_of

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"
NAMES = [name for name in errors.__all__ if name != "excerpt"]


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_in_the_docs_with_the_status_that_it_has(name):
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{name}`")]
    assert len(rows) == 1, f"docs/errors.md has {len(rows)} rows for {name}"
    status = rows[0].split("|")[2].strip()
    error = getattr(errors, name)
    if issubclass(error, errors.StartupError | errors.HelperError):
        assert status == "–"
    else:
        assert status == str(int(status_of(error)))


def deep():
    value = []
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a'b", '"a\'b"'),
        (b"\xff", "b'\\xff'"),
        ((1, 2, "rows"), "(1, 2, 'rows')"),
        (2**64 - 1, "18446744073709551615"),
        (-0.5, "-0.5"),
        (None, "None"),
        ("x" * 10**6, f"'{'x' * 78}…"),
        ([1] * 10**6, f"[{'1, ' * 26}…"),
    ],
)
def test_a_value_of_a_client_is_shown_as_it_is_and_never_longer_than_a_line(value, shown):
    assert errors.excerpt(value) == shown


def test_a_value_that_is_nested_too_deep_to_show_is_shown_in_part():
    assert "..." in errors.excerpt(deep())
