"""Real server processes, asked by a real client, compared with a session of this process."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bundle import ProviderPolicy
from bundle.checks import Subject
from normserve.served import Item, ServerFailed, Staged, check_served, server_of, stage
from tests.bundle.onnx_models import identity, model, save, value
from tests.normserve.validate.cases import bundle, findings, run, scaling

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(*staged):
    with (
        stage(staged) as repository,
        server_of(repository, policy=ProviderPolicy.CPU, threads=1) as server,
    ):
        yield server


def plain(repository, name, proto, *, version=1):
    return Staged.of(save(proto, repository / name / str(version) / "model.onnx").parent)


def finding(server, staged, subject=None):
    return check_served(
        server, Item(staged, subject or Subject(model=staged.source / "model.onnx"))
    )


def as_it_is(tmp_path):
    """One model for each way in which a transport may not be able to carry a tensor."""
    nan = model(
        [helper.make_node("Div", ["x", "x"], ["y"])],
        [value("x", ["batch", 2])],
        [value("y", ["batch", 2])],
    )
    zeros = {"x": np.zeros((2, 2), np.float32)}
    return {
        "float": (scaling(), ()),
        "half": (identity(TensorProto.FLOAT16), ()),
        "brain": (identity(TensorProto.BFLOAT16), ()),
        "bytes": (identity(TensorProto.STRING), ()),
        "longs": (identity(TensorProto.INT64, ()), ()),
        "nan": (nan, (zeros,)),
        "raw": (
            identity(TensorProto.STRING, ("n", 2)),
            ({"x": np.array([[b"\xff\x00", b"text"]], dtype=object)},),
        ),
    }


def test_every_kind_of_tensor_is_answered_bit_for_bit(tmp_path):
    kinds = as_it_is(tmp_path)
    staged = {name: plain(tmp_path, name, proto) for name, (proto, _) in kinds.items()}
    with serving(*staged.values()) as server:
        found = {
            name: finding(
                server,
                staged[name],
                Subject(model=staged[name].source / "model.onnx", inputs=kinds[name][1]),
            )
            for name in kinds
        }
    for name, made in found.items():
        assert made.status == "pass", (name, made)
        assert made.measured == 0.0
        assert "HTTP binary" in made.meaning
    assert "HTTP JSON (not where 'x' is FP16)" in found["half"].meaning
    assert "HTTP JSON (not where 'x' is BF16)" in found["brain"].meaning
    assert "HTTP JSON (not where 'y' has NaN or infinities)" in found["nan"].meaning
    assert "HTTP JSON (not where 'x' has bytes that are no text)" in found["raw"].meaning
    assert "HTTP JSON and" in found["bytes"].meaning


def test_a_server_that_computes_something_else_is_found_with_the_difference(tmp_path):
    staged = plain(tmp_path, "scaling", scaling())
    x = np.float32([[1, 2, 3]])
    with serving(staged) as server:
        wrong = finding(server, staged, Subject(model=scaling(factor=3.0), inputs=({"x": x},)))
        near = finding(
            server,
            staged,
            Subject(model=scaling(factor=np.nextafter(np.float32(2), 3)), inputs=({"x": x},)),
        )
    assert wrong.status == "fail"
    assert wrong.measured == 3.0
    assert "HTTP JSON and HTTP binary" in wrong.meaning
    assert near.status == "warn"
    assert 0 < near.measured <= near.tolerance.atol
    assert "by rounding at most" in near.meaning


def test_a_bundle_that_the_server_refuses_fails_with_its_reason(tmp_path):
    version = bundle(tmp_path)
    (version / "test_data_set_0" / "output_0.pb").write_bytes(b"")
    staged = Staged.of(version)
    with serving(staged) as server:
        made = finding(server, staged)
    assert made.status == "fail"
    assert "'scaling/1/test_data_set_0/output_0.pb' was changed" in made.meaning


def test_versions_that_the_policy_does_not_want_are_asked_too(tmp_path):
    versions = [plain(tmp_path, "scaling", scaling(), version=number) for number in (1, 2)]
    config = 'version_policy { latest {} } output { name: "y" label_filename: "names.txt" }'
    (tmp_path / "scaling" / "config.pbtxt").write_text(config)
    with serving(*versions) as server:
        assert [finding(server, staged).status for staged in versions] == ["pass", "pass"]


def test_an_input_that_the_server_refuses_fails_with_what_it_said(tmp_path):
    staged = plain(tmp_path, "scaling", scaling(shape=("batch", 4)))
    with serving(staged) as server:
        made = finding(server, staged, Subject(model=scaling()))
    assert made.status == "fail"
    assert "was refused" in made.meaning
    assert "(batch, 4)" in made.meaning


def is_listening(address):
    try:
        httpx.get(f"http://{address}/v2/health/live")
    except httpx.TransportError:
        return False
    return True


def test_the_server_is_stopped_however_the_block_ends(tmp_path):
    staged = plain(tmp_path, "scaling", scaling())
    servers = []

    def serve_and_fail():
        with serving(staged) as server:
            servers.append(server)
            assert is_listening(server.addresses.http)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serve_and_fail()
    assert not servers[0].is_running
    assert not is_listening(servers[0].addresses.http)


def test_a_server_that_ends_while_it_is_asked_is_an_error_with_the_end_of_its_log(tmp_path):
    staged = plain(tmp_path, "scaling", scaling())
    with serving(staged) as server:
        server.states({("scaling", 1)})
        server.stop()
        with pytest.raises(ServerFailed, match="did not load its models and ended with status 0"):
            finding(server, staged)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path):
    with (
        pytest.raises(ServerFailed, match=r"did not start and ended with status 2.*cannot be read"),
        server_of(tmp_path / "none", policy=ProviderPolicy.CPU, threads=1),
    ):
        pass


def test_settings_of_the_environment_do_not_reach_the_server(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMSERVE_NOT_A_SETTING", "1")
    staged = plain(tmp_path, "scaling", scaling())
    with serving(staged) as server:
        assert finding(server, staged).status == "pass"


def test_a_command_that_is_told_to_stop_takes_its_server_with_it(tmp_path):
    code = f"""
import time
from pathlib import Path
from bundle import ProviderPolicy
from normserve.served import server_of

with server_of(Path({str(tmp_path)!r}), policy=ProviderPolicy.CPU, threads=1) as server:
    print(server.addresses.http, flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with process:
        address = process.stdout.readline().strip()
        assert is_listening(address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not is_listening(address)


def test_a_repository_is_served_by_default_and_a_bare_file_where_that_is_asked_for(tmp_path):
    file = save(scaling(), tmp_path / "odd name (1).onnx")
    bundle(tmp_path / "repository", "one")
    bundle(tmp_path / "repository", "two")
    quick = [part for name in ("determinism", "provider-parity") for part in ("--skip", name)]
    done = run(tmp_path / "repository", file, "--json", *quick)
    assert done.status == 0
    served = ["as-served" in findings(done.report, target=i) for i in range(3)]
    assert served == [True, True, False]
    assert "as-served" in findings(run(file, "--json", "--check", "as-served").report)
    assert "as-served" not in run(tmp_path / "repository", *quick, "--no-served").out


def test_a_bare_file_with_data_beside_it_is_served(tmp_path):
    path = tmp_path / "split.onnx"
    onnx.save_model(
        scaling(), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    done = run(path, "--served", "--check", "as-served")
    assert done.status == 0, done.out
