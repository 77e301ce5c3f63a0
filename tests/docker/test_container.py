"""The image and the Compose file, really built and run. `make docker-test`; needs an engine.

On an engine without a bridge network set COMPOSE_FILE to
"docker-compose.yml:deploy/docker-compose.host-network.yml".
"""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as http

from bundle import find_versions

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
PORT = 18321
PORTS = {"NORMSERVE_HTTP_PORT": f"{PORT}", "NORMSERVE_METRICS_PORT": f"{PORT + 2}"}
MEBIBYTE = 2**20


def docker(*arguments, **options):
    environment = os.environ | PORTS
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        **options,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def compose():
    def run(*command):
        return docker("compose", *command, timeout=900)

    run("up", "--build", "--detach", "--wait", "--wait-timeout", "240")
    yield run
    run("down", "--timeout", "20")


@pytest.fixture(scope="module")
def inspected(compose):
    container = compose("ps", "--quiet", "normserve").strip()
    return json.loads(docker("inspect", container))[0]


def test_compose_waits_until_the_service_is_ready_and_it_serves_the_repository(compose):
    client = http.InferenceServerClient(f"127.0.0.1:{PORT}")
    names = {folder.name for folder in find_versions(ROOT / "model_repository")}
    assert names
    assert all(client.is_model_ready(name) for name in names)


def test_a_request_is_answered_from_inside_the_container(compose):
    client = http.InferenceServerClient(f"127.0.0.1:{PORT}")
    pixels = np.zeros((2, 1, 8, 8), np.float32)
    tensor = http.InferInput("pixels", pixels.shape, "FP32").set_data_from_numpy(pixels)
    assert client.infer("resnet", [tensor]).as_numpy("logits").shape == (2, 10)


def test_the_image_is_under_500_megabytes(compose):
    size = int(docker("image", "inspect", "--format", "{{.Size}}", "normserve:latest"))
    assert size < 500 * 10**6, f"{size / MEBIBYTE:.0f} MiB"


def test_there_is_no_torch_in_the_image(compose):
    listing = compose("exec", "--no-TTY", "normserve", "find", "/opt/normserve", "-maxdepth", "5")
    packages = {Path(line).name for line in listing.split()}
    assert "onnxruntime" in packages
    assert not packages & {"torch", "onnxscript", "sklearn", "pip"}


def test_the_service_is_not_root_and_its_file_system_is_read_only(compose, inspected):
    assert compose("exec", "--no-TTY", "normserve", "id", "--user").strip() == "10001"
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]


def test_the_health_check_is_the_readiness_of_the_service(inspected):
    assert inspected["State"]["Health"]["Status"] == "healthy"


def test_the_log_is_json_a_line_a_request(inspected):
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2", timeout=5).close()
    command = ["docker", "logs", inspected["Id"]]
    for _ in range(50):  # the engine passes lines on when it gets to them
        logged = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = [json.loads(line) for line in logged.stdout.splitlines()]
        if any(line.get("path") == "/v2" for line in lines):
            return
        time.sleep(0.1)
    pytest.fail(f"no line for the request among {lines}")


def test_the_container_stops_on_a_signal_within_its_grace_period(compose, inspected):
    compose("stop", "--timeout", "20")
    state = json.loads(docker("inspect", inspected["Id"]))[0]["State"]
    assert state["ExitCode"] == 0
