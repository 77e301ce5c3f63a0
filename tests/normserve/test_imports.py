import subprocess
import sys

import pytest

from normserve.imports import absent

SERVING = """
import sys
from normserve.cli import main
main.get_command(None, "serve")
print(*sys.modules)
"""


def test_what_is_absent_cannot_be_imported_and_can_be_again():
    sys.modules.pop("this", None)
    with absent("this"), pytest.raises(ImportError):
        import this  # noqa: F401
    assert "this" not in sys.modules
    with pytest.raises(ZeroDivisionError), absent("this"):
        raise ZeroDivisionError
    assert "this" not in sys.modules


def test_what_was_imported_stays():
    with absent("sys"):
        import sys as again
    assert again is sys


def test_a_server_imports_nothing_that_it_does_not_use():
    ran = subprocess.run([sys.executable, "-c", SERVING], capture_output=True, text=True)
    imported = ran.stdout.split()
    assert "service.server" in imported, ran.stderr
    assert not {"rich", "pygments", "attr", "pydantic.v1", "torch"}.intersection(imported)
