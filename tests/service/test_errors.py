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
