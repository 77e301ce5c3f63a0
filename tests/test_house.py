"""Nothing is imported that must not be, and what the documents say is there is there."""

import itertools
import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported_by(statement):
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import service.server",
        "from service.http import create_app",
        "import bundle",
        "import normserve.serve",
    ],
)
def test_what_serves_imports_no_torch(statement):
    assert not imported_by(statement) & {"torch", "onnxscript", "onnx_ir", "safetensors"}


def test_the_contract_imports_no_web_framework():
    assert not imported_by("import bundle") & {"fastapi", "starlette", "uvicorn"}


def test_the_command_line_imports_only_what_the_command_needs():
    assert not imported_by("import normserve.cli") & {"torch", "onnxruntime", "fastapi"}


def test_onnx_runtime_is_loaded_with_its_telemetry_off_and_in_one_place():
    code = "import os, bundle; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"},
    )
    assert done.stdout.strip() == "1"
    loaders = {
        path.relative_to(ROOT).as_posix()
        for package in ("bundle", "exporters", "models", "normserve", "service")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime", path.read_text(), re.MULTILINE)
    }
    assert loaders == {"bundle/runtime.py"}


def test_every_dependency_has_an_exact_version_in_the_constraints():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for requirement in wanted:
        name = requirement.split(">")[0].split("=")[0].split("[")[0].strip().lower()
        assert name in pinned | {"normserve"}, f"constraints.txt has no version of {name}"


def test_the_top_level_is_the_one_that_the_project_promises():
    for name in (
        *("service", "exporters", "models", "bundle", "tests", "docs", "benchmarks", "deploy"),
        *("Dockerfile", "docker-compose.yml", "pyproject.toml", "Makefile", ".ci/run"),
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
    ):
        assert (ROOT / name).exists(), name


def test_every_decision_record_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text()
    for record in folder.glob("[0-9]*.md"):
        assert f"({record.name})" in listed, record.name


def test_the_published_schema_of_the_manifest_is_the_one_of_the_code():
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    published = (ROOT / "docs" / "manifest.schema.json").read_text()
    assert generate["manifest_schema"]() == published, "run `make docs`"
