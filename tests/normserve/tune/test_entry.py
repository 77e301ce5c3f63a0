import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from normserve.cli import main
from normserve.tune import Evidence, command
from service.model_config import read_config
from service.model_options import read_options
from service.model_tuning import (
    BATCH_ROWS,
    EXECUTION_MODE,
    INTER_OP_THREADS,
    INTRA_OP_THREADS,
    MEM_ARENA,
    MEM_PATTERN,
)
from tests.service import tiny

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def repository(tmp_path):
    tiny.write_verified(tmp_path, "m")
    return tmp_path


def run(repository, *arguments, env=None):
    command = ["tune", *arguments, "--repository", str(repository)]
    return CliRunner().invoke(main, command, env=env)


@pytest.mark.parametrize("objective", ["throughput", "latency"])
def test_a_model_is_tuned_in_the_processes_that_would_serve_it(repository, tmp_path, objective):
    told = tmp_path / "told.json"
    options = ("--budget", "3", "--objective", objective, "--json", str(told))
    result = run(repository, "m", *options, env={"NORMSERVE_CORES": "2"})
    assert result.exit_code == 0, result.output
    evidence = Evidence.model_validate_json(told.read_bytes())
    assert evidence.objective == objective
    assert evidence.present.instances == 2
    assert evidence.cores == 2
    assert "way to run it" in result.output
    home = repository / "m"
    if evidence.gain is None:
        assert "nothing was written" in result.output
        assert not (home / "tuning.json").exists()
    else:
        assert json.loads((home / "tuning.json").read_text()) == json.loads(told.read_text())
        asked = read_options(read_config((home / "config.pbtxt").read_text()), name="m")
        assert asked.tuning == evidence.chosen.tuning


def test_a_dry_run_writes_nothing(repository):
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    result = run(repository, "m", "--budget", "2", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "nothing was written" in result.output
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before


def test_a_model_that_runs_on_threads_is_tuned_on_threads(repository):
    result = run(repository, "m", "--budget", "1", env={"NORMSERVE_ISOLATION": "thread"})
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("name", "env", "said"),
    [
        ("none", {}, "has no model 'none'"),
        ("m", {"NORMSERVE_THREADS": "many"}, "threads"),
        ("m", {"NORMSERVE_PROVIDER": "cuda"}, "CUDA"),
    ],
)
def test_what_cannot_be_tuned_is_told(repository, name, env, said):
    result = run(repository, name, "--budget", "1", env=env)
    assert result.exit_code == 1
    assert re.search(said, result.output)
    assert "Traceback" not in result.output


def test_a_repository_elsewhere_is_not_tuned():
    result = CliRunner().invoke(main, ["tune", "m", "--repository", "s3://bucket/models"])
    assert result.exit_code == 1
    assert "is no folder of this machine" in result.output


def test_every_option_and_every_field_that_is_written_is_explained():
    page = (DOCS / "tune.md").read_text()
    options = [option for parameter in command.params for option in parameter.opts]
    assert {option for option in options if option.startswith("--") and option not in page} == set()
    fields = (DOCS / "models.md").read_text()
    for name in (
        *(INTRA_OP_THREADS, INTER_OP_THREADS, EXECUTION_MODE, MEM_ARENA, MEM_PATTERN, BATCH_ROWS),
        "optimization.graph.level",
    ):
        assert f"`{name}`" in fields
        assert f"`{name}`" in page
