"""Triton's perf_analyzer, the real program: it starts, measures, and counts no failure."""

import csv
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "perf_analyzer"
LIBRARIES = [
    Path(sysconfig.get_path("purelib"), "nvidia", "cuda_runtime", "lib"),
    *Path(sys.prefix, "debian", "usr", "lib").glob("*-linux-gnu"),
]
"""Those that the program is linked with and a machine without a GPU lacks."""


def measured(server, tmp_path, protocol, *options):
    report = tmp_path / "report.csv"
    measurement = {
        "-i": protocol,
        "-u": server["http"] if protocol == "http" else server["grpc"],
        "-f": report,
        "--measurement-mode": "count_windows",
        "--measurement-request-count": 20,
        "--stability-percentage": 999,
        "--max-trials": 3,
    }
    arguments = [str(part) for option in measurement.items() for part in option]
    done = subprocess.run(
        [PROGRAM, *arguments, *options],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, LIBRARIES))},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with report.open() as file:
        return done.stdout, list(csv.DictReader(file))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "options",
    [
        ("-m", "mixed", "--shape", "f:3", "--shape", "i:3", "--shape", "s:3"),
        ("-m", "identity-fp16", "--shape", "x:2,3"),
        ("-m", "classifier", "-b", "4"),
    ],
)
def test_a_model_is_measured(server, tmp_path, protocol, options):
    said, (row,) = measured(server, tmp_path, protocol, "--concurrency-range", "2", *options)
    assert float(row["Inferences/Second"]) > 0
    assert float(row["Server Compute Infer"]) > 0
    assert "Successful request count" in said
    assert "failed" not in said.lower()


def test_a_stream_is_measured(server, tmp_path):
    _, rows = measured(
        server, tmp_path, "grpc", "-m", "identity-fp32", "--shape", "x:1,3", "--streaming"
    )
    assert float(rows[0]["Inferences/Second"]) > 0


def test_a_version_and_a_request_rate_are_measured(server, tmp_path):
    _, rows = measured(
        server,
        tmp_path,
        "http",
        *("-m", "versions", "-x", "9", "--shape", "x:1,2", "--request-rate-range", "50"),
    )
    assert float(rows[0]["Inferences/Second"]) > 0
