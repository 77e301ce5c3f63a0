"""What is in ``deploy/ci`` does what it says, as far as that can be shown on one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from junitparser import JUnitXml

from tests.normserve.validate.cases import bundle, centring, save, scaling

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / "deploy" / "ci" / "github-workflow.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def steps():
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]["validate"]["steps"]


def step(name):
    (found,) = [step for step in steps() if step.get("name") == name]
    return found


def run_step(name, folder, **environment):
    return subprocess.run(
        ["bash", "-e", "-c", step(name)["run"]],
        cwd=folder,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
    )


def test_the_workflow_runs_on_changes_and_may_write_nothing_but_results():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert {"pull_request", "push"} <= set(workflow[True])  # YAML 1.1 reads `on` as a truth value
    assert workflow["permissions"] == {"contents": "read"}
    job = workflow["jobs"]["validate"]
    assert job["permissions"] == {"contents": "read", "security-events": "write"}
    assert "normserve[cpu,validate]" in step("install")["run"]


@pytest.mark.parametrize(("proto", "status"), [(scaling(), 0), (centring(), 1)])
def test_the_steps_of_the_workflow_run_and_write_what_is_uploaded(tmp_path, proto, status):
    bundle(tmp_path / "models", proto=proto)
    done = run_step("validate", tmp_path, MODELS="models")
    assert done.returncode == status, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    token = first.removeprefix("::stop-commands::")
    assert last == f"::{token}::"
    summary = tmp_path / "summary.md"
    assert run_step("summary", tmp_path, GITHUB_STEP_SUMMARY=str(summary)).returncode == 0
    assert "models/scaling/1" in summary.read_text().replace("\\", "")
    junit = tmp_path / step("results as JUnit XML")["with"]["path"]
    assert JUnitXml.fromfile(str(junit)).failures == (3 if status else 0)
    sarif = json.loads(
        (tmp_path / step("results in code scanning")["with"]["sarif_file"]).read_text()
    )
    assert len(sarif["runs"][0]["results"]) == (3 if status else 0)


def pre_commit(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", *arguments],
        cwd=cwd,
        env=ENVIRONMENT
        | {"PRE_COMMIT_HOME": str(cwd / ".cache"), "GIT_CONFIG_GLOBAL": "/dev/null"},
        capture_output=True,
        text=True,
    )


def test_the_hook_and_its_example_are_what_pre_commit_takes(tmp_path):
    example = ROOT / "deploy" / "ci" / "pre-commit-config.yaml"
    assert pre_commit("validate-manifest", str(HOOKS), cwd=tmp_path).returncode == 0
    assert pre_commit("validate-config", str(example), cwd=tmp_path).returncode == 0
    (hook,) = yaml.safe_load(HOOKS.read_text())
    (repo,) = yaml.safe_load(example.read_text())["repos"]
    assert [used["id"] for used in repo["hooks"]] == [hook["id"]]


@pytest.mark.parametrize(("proto", "status"), [(scaling(), 0), (centring(), 1)])
def test_the_hook_runs_on_the_models_of_a_commit(tmp_path, proto, status):
    (hook,) = yaml.safe_load(HOOKS.read_text())
    # an environment of its own would be installed from the network: take the one at hand
    here = {key: hook[key] for key in ("id", "name", "entry", "files", "require_serial")}
    config = {"repos": [{"repo": "local", "hooks": [here | {"language": "system"}]}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    save(proto, tmp_path / "model with spaces.onnx")
    for command in (("init", "-q"), ("add", "*.onnx", "*.yaml")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    done = pre_commit("run", "--all-files", cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr
    assert "normserve validate" in done.stdout
    assert ("ReduceMean 'batch_mean'" in done.stdout) == bool(status)
