import json
import os
import threading

import pytest
from structlog.testing import capture_logs

from bundle.certificate import Neighbours, Standing, Verdict, Witness
from service.consistency import Cache
from tests.service import tiny

WITNESS = Witness(
    source="random",
    row=0,
    size=3,
    place=0,
    neighbours=Neighbours.LOUD,
    output="y",
    index=(0,),
    alone="0",
    batched="1",
)


@pytest.fixture
def known():
    return tiny.consistency()


def only_file(folder):
    (file,) = folder.iterdir()
    return file


def ignored(cache, key):
    """Why the cache believes nothing of what it kept."""
    with capture_logs() as logs:
        assert cache.read(key) is None
    (line,) = logs
    assert line["event"] == "kept certificate ignored"
    return line["reason"]


def test_what_was_written_is_read(tmp_path, known):
    cache = Cache(tmp_path / "not" / "there yet")
    report = tiny.report(known)
    assert cache.read(known.key) is None
    assert cache.write(report) == ""
    assert cache.read(known.key) == report


def test_a_number_that_is_not_finite_is_kept(tmp_path, known):
    cache = Cache(tmp_path)
    report = tiny.report(known, verdict=Verdict.DEPENDENT, noise=float("inf"))
    cache.write(report)
    assert cache.read(known.key) == report


def test_nothing_in_the_folder_is_a_folder_that_triton_would_take_for_a_model(tmp_path, known):
    Cache(tmp_path).write(tiny.report(known))
    assert only_file(tmp_path).is_file()
    assert only_file(tmp_path).name.startswith(".")


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "1" * 64},
        {"manifest_sha256": "1" * 64},
        {"runtime": "onnxruntime 0.0"},
        {"provider": "CUDAExecutionProvider"},
        {"device": "another machine"},
        {"threads": 2},
        {"options": {"use_tf32": "1"}},
        {"normserve": "0.0.0"},
    ],
)
def test_a_report_for_anything_else_is_not_found(tmp_path, known, change):
    cache = Cache(tmp_path)
    cache.write(tiny.report(known))
    assert cache.read(known.key.model_copy(update=change)) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"key": {}}', b"[" * 100_000, bytes(5 * 2**20)],
    ids=lambda content: f"{content[:6]!r} x {len(content)}",
)
def test_a_damaged_file_is_ignored_and_replaced(tmp_path, known, content):
    cache = Cache(tmp_path)
    cache.write(tiny.report(known))
    only_file(tmp_path).write_bytes(content)
    assert "it is no report" in ignored(cache, known.key)
    assert cache.write(tiny.report(known)) == ""
    assert cache.read(known.key) is not None


def test_a_file_that_ends_in_the_middle_is_ignored(tmp_path, known):
    cache = Cache(tmp_path)
    cache.write(tiny.report(known))
    whole = only_file(tmp_path).read_bytes()
    for length in range(0, len(whole), 97):
        only_file(tmp_path).write_bytes(whole[:length])
        assert "it is no report" in ignored(cache, known.key)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ({"model_sha256": "1" * 64}, "certificate is for something else"),
        ({"device": "another"}, "certificate is for something else"),
        ({"standing": Standing.REACHES}, "the scan says reaches"),
        ({"standing": None}, "the scan says None"),
        ({"witness": WITNESS}, "a witness against it"),
        ({"cells": ()}, "without a trial"),
        ({"noise": 0.5}, r"its noise is 0.5"),
    ],
)
def test_a_certificate_that_nobody_can_have_found_out_is_ignored(
    tmp_path, known, certificate, reason
):
    cache = Cache(tmp_path)
    cache.write(tiny.report(known, **certificate))
    assert reason in ignored(cache, known.key)


def test_a_report_under_the_name_of_another_is_ignored(tmp_path, known):
    cache, other = Cache(tmp_path), tiny.consistency(version=2)
    cache.write(tiny.report(known))
    file = only_file(tmp_path)
    content = file.read_bytes()
    file.unlink()
    cache.write(tiny.report(other))
    only_file(tmp_path).write_bytes(content)
    assert ignored(cache, other.key) == "it is for something else"


def test_a_field_that_nobody_knows_makes_a_file_no_report(tmp_path, known):
    cache = Cache(tmp_path)
    cache.write(tiny.report(known))
    document = json.loads(only_file(tmp_path).read_text())
    only_file(tmp_path).write_text(json.dumps(document | {"signed": True}))
    assert "it is no report" in ignored(cache, known.key)


def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_passed_by(tmp_path, known):
    cache = Cache(tmp_path)
    cache.write(tiny.report(known))
    file = only_file(tmp_path)
    file.unlink()
    os.mkfifo(file)
    assert cache.read(known.key) is None
    file.unlink()
    file.mkdir()
    assert cache.read(known.key) is None
    assert "cannot be written" in cache.write(tiny.report(known))
    assert only_file(tmp_path) == file


def test_a_folder_that_cannot_be_written_is_told(tmp_path, known):
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "folder")
    assert "cannot be written: Not a directory" in cache.write(tiny.report(known))
    assert cache.read(known.key) is None


def test_servers_that_share_a_folder_never_read_half_a_file(tmp_path, known):
    cache, report = Cache(tmp_path), tiny.report(known)
    cache.write(report)
    start = threading.Barrier(4)

    def write():
        start.wait()
        for _ in range(50):
            Cache(tmp_path).write(report)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        assert cache.read(known.key) == report
    for thread in threads:
        thread.join()
    assert only_file(tmp_path)
