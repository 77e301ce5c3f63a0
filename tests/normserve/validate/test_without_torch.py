import subprocess
import sys
from pathlib import Path

from tests.normserve.validate.cases import bundle

WITHOUT_TORCH = """
import sys

sys.modules["torch"] = None
from normserve.cli import main

main()
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "validate", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def test_models_on_disk_are_validated(tmp_path):
    done = run(bundle(tmp_path), "--check", "golden-samples", "--check", "batch-invariance")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PASS")


def test_torch_models_cannot_be_and_the_message_says_what_to_install():
    done = run("package.module:factory")
    assert done.returncode == 2
    assert "install normserve[export]" in done.stdout
    assert "normserve[export]" in run("resnet").stdout


def test_checks_of_torch_models_have_no_names():
    done = run("package.module:factory", "--check", "eval-parity")
    assert done.returncode == 2
    assert "there is no check 'eval-parity'" in done.stderr
