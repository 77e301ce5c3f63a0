import pytest

from tests.normserve.validate.cases import at_export, bundle, centring, run, save, scaling


@pytest.fixture
def good(tmp_path):
    return save(scaling(), tmp_path / "good.onnx")


@pytest.fixture
def bad(tmp_path):
    return save(centring(), tmp_path / "bad.onnx")


def test_0_where_no_check_failed(good):
    done = run(good, "--check", "file", "--check", "batch-invariance")
    assert done.status == 0
    assert done.out.startswith("PASS")


def test_1_where_a_check_failed(good, bad):
    done = run(good, bad, "--check", "batch-invariance")
    assert done.status == 1
    assert "2 targets: 1 passed, 1 failed" in done.out


def test_2_where_a_target_cannot_be_examined_and_the_others_are(good, tmp_path):
    done = run(tmp_path / "none.onnx", good, "--check", "file")
    assert done.status == 2
    assert "2 targets: 1 passed, 1 could not be examined" in done.out


def test_2_wins_over_1_because_the_picture_is_incomplete(bad, tmp_path):
    assert run(bad, tmp_path / "none.onnx", "--check", "batch-invariance").status == 2


@pytest.mark.parametrize(("fail_on", "status"), [("fail", 0), ("warn", 1)])
def test_a_warning_fails_the_run_only_where_that_is_asked_for(repository, fail_on, status):
    version = bundle(repository, findings=[at_export("mode", "warn")])
    done = run(version, "--check", "mode", "--fail-on", fail_on)
    assert done.status == status
    assert done.out.startswith("WARN")


def test_a_failure_that_was_allowed_at_export_counts_as_a_warning(repository):
    failed = at_export("batch-invariance", "fail")
    version = bundle(repository, proto=centring(), findings=[failed], allowed=["batch-invariance"])
    chosen = (version, "--check", "batch-invariance")
    done = run(*chosen)
    assert done.status == 0
    assert done.out.startswith("WARN")
    assert done.out.count("fail (allowed)") == 2  # at export, and now
    assert run(*chosen, "--fail-on", "warn").status == 1


def test_a_failure_at_export_that_nobody_allowed_is_one(repository):
    version = bundle(repository, findings=[at_export("eval-parity", "fail")])
    done = run(version, "--check", "eval-parity")
    assert done.status == 1
    assert "eval-parity (at export)" in done.out


def test_a_target_of_which_nothing_was_checked_has_not_passed(good):
    done = run(good, "--check", "golden-samples", "--json")
    assert done.status == 2
    assert "none of the checks that were chosen" in done.report["targets"][0]["error"]


@pytest.mark.parametrize("option", ["--check", "--skip"])
def test_a_check_that_does_not_exist_is_refused_with_those_that_do(good, option):
    done = run(good, option, "speed")
    assert done.status == 2
    for name in ("digests", "golden-samples", "batch-invariance", "as-served", "eval-parity"):
        assert name in done.err


def test_a_check_that_is_skipped_is_not_made(good):
    done = run(good, "--skip", "determinism", "--skip", "provider-parity")
    assert done.status == 0
    assert "threads-parity" in done.out
    assert "determinism" not in done.out


def test_no_target_is_refused():
    assert run().status == 2


def test_a_provider_that_is_not_there_is_refused(good):
    done = run(good, "--policy", "cuda")
    assert done.status == 2
    assert "CUDAExecutionProvider" in done.err


def test_a_report_that_cannot_be_written_is_refused_before_the_work(good, tmp_path):
    done = run(good, "--junit", tmp_path / "none" / "report.xml")
    assert done.status == 2
    assert "cannot be written" in done.err
    assert not done.out


def test_what_describes_a_factory_is_refused_for_anything_else(good):
    assert run(good, "--input", "x:FP32[batch,3]").status == 2


def test_a_model_that_several_arguments_stand_for_is_examined_once(good):
    assert "1 target: 1 passed" in run(good, good, "--check", "file").out
