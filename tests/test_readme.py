"""The README's commands and programs, run as they stand there."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from models import SCENES
from normserve.export import export_scene

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, re.DOTALL)


def block(language, containing):
    (found,) = [text for kind, text in BLOCKS if kind == language and containing in text]
    return found


def environment():
    scripts = Path(sys.executable).parent
    return os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{scripts}:{os.environ['PATH']}"}


def run(command, folder, **options):
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose model_repository has two networks of the zoo."""
    home = tmp_path_factory.mktemp("readme")
    for name in ("resnet", "gpt"):
        export_scene(SCENES[name], repository=home / "model_repository")
    return home


@pytest.fixture(scope="module")
def url(folder):
    """What `normserve serve` of the README serves, on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = block("bash", "normserve serve").partition("#")[0].split()
    ports = ["--http-port", str(port), "--grpc-port", "0", "--metrics-port", "none"]
    process = subprocess.Popen(
        [*command, *ports, "--log-level", "error"],
        cwd=folder,
        env=environment(),
    )
    address = f"127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_two_commands_are_targets_of_the_makefile():
    for command in re.findall(r"^make (\S+)", block("bash", "make demo"), re.MULTILINE):
        run(["make", "--dry-run", command], ROOT)


def test_a_model_of_ones_own_is_exported_in_five_lines(folder):
    said = run([sys.executable, "-c", block("python", "from exporters import export")], folder)
    assert "1 BatchNorm2d folded into Conv" in said
    assert "3 GroupNorm kept as GroupNormalization" in said


def test_a_factory_and_a_checkpoint_are_exported_from_the_command_line(folder):
    package = folder / "mypackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "networks.py").write_text(
        "from torch import nn\n\n\nclass Network(nn.Sequential):\n"
        "    def forward(self, pixels):\n        return super().forward(pixels)\n\n\n"
        "def build():\n    return Network(nn.Conv2d(3, 4, 3, 8), nn.BatchNorm2d(4))\n"
    )
    code = (
        "from safetensors.torch import save_file; from mypackage.networks import build;"
        "save_file(build().state_dict(), 'weights.safetensors')"
    )
    run([sys.executable, "-c", code], folder)
    command = block("bash", "normserve export mypackage")
    assert "wrote model_repository/build/1" in run(["bash", "-c", command], folder)


def test_the_curl_commands_are_answered(folder, url):
    assert shutil.which("curl"), "this test needs curl"
    commands = block("bash", "curl").replace("127.0.0.1:8000", url)
    said = run(["bash", "-c", commands.replace("curl ", "curl --silent --fail ")], folder)
    assert '"platform":"onnxruntime_onnx"' in said
    assert '"outputs":[{"name":"logits"' in said


def test_the_tritonclient_program_prints_logits(folder, url):
    program = block("python", "tritonclient").replace("127.0.0.1:8000", url)
    said = run([sys.executable, "-c", program], folder)
    assert len(said.strip(" []\n").split()) == 10


def test_every_page_that_the_readme_names_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
