"""The benchmark of serving at its least: every kind of load once, and the page of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("decoding", "throughput", "overload", "deaths", "endurance")


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "benchmarks/serving", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("benchmarks")
    done = bench("--quick", "--output", output, "--only", *PARTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return output


def test_each_part_has_a_result_and_the_machine_that_it_was_measured_on(folder):
    records = json.loads((folder / "serving.json").read_text())
    assert list(records) == list(PARTS)
    for record in records.values():
        assert record["failure"] == ""
        assert record["is_quick"]
        assert record["machine"]["cores"] >= 1
    (network,) = records["throughput"]["result"]["networks"]
    assert {row["form"] for row in network["rows"]} == {
        *("naive FastAPI", "HTTP JSON", "HTTP binary", "gRPC")
    }
    for row in network["rows"]:
        assert row["loads"][0]["failed"] == 0


def test_nothing_is_lost_at_the_least_scale(folder):
    records = json.loads((folder / "serving.json").read_text())
    assert records["deaths"]["result"]["failed"] == 0
    assert records["endurance"]["result"]["wrong"] == 0


def test_the_page_is_made_from_what_was_written_alone(folder):
    page = (folder / "serving.md").read_text()
    assert "failed requests" in page
    assert "no measure of speed" in page
    plots = {path.name for path in folder.glob("*.svg")}
    assert plots == {
        *("serving_throughput.svg", "serving_latency.svg"),
        *("serving_overload.svg", "serving_memory.svg"),
    }
    assert all(f"({name})" in page for name in plots)
    (folder / "serving.md").unlink()
    assert bench("--page", "--output", folder).returncode == 0
    assert (folder / "serving.md").read_text() == page


def test_the_least_scale_never_overwrites_what_was_measured():
    refused = bench("--quick")
    assert refused.returncode == 2
    assert "--output" in refused.stderr
