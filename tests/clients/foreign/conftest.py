"""Clients that need an environment of their own; `make test-clients` makes it and runs them there.

Their protobuf packages define the same messages as ours and each other's. Nothing of the project is
imported here: the server runs in the project's environment, which the variable SERVER_PYTHON
names.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROGRAMS = Path(sys.executable).parent

collect_ignore = [
    f"test_{client}.py"
    for client, is_there in {
        "kserve": importlib.util.find_spec("kserve"),
        "mlserver": importlib.util.find_spec("mlserver"),
        "perf_analyzer": (PROGRAMS / "perf_analyzer").exists(),
    }.items()
    if not is_there
]


@pytest.fixture(scope="session")
def server():
    """Where a server of the models of `tests/clients/networks.py` listens, by transport."""
    process = subprocess.Popen(
        [os.environ["SERVER_PYTHON"], "-m", "tests.clients.foreign.serve"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield json.loads(process.stdout.readline())
        process.stdin.close()
    assert process.returncode == 0
