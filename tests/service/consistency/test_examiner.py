import time

import numpy as np
import onnx
import pytest
from onnx import helper
from structlog.testing import capture_logs

from bundle import Datatype, ProviderPolicy
from bundle.certificate import Verdict
from service.consistency import Cache, Examiner, Phase
from service.engine import ThreadWorkshop
from service.loading import Loader
from tests.service import serving, tiny


@pytest.fixture
def examiner(tmp_path):
    examiner = Examiner(cache=Cache(tmp_path / "kept"), at_load=True, timeout_s=120)
    yield examiner
    examiner.close()


def plain(tmp_path, model, name="m"):
    return tiny.consistency_of(tiny.write_plain(tmp_path / "models", name, model))


def settle(known):
    tiny.wait_for(lambda: known.status.phase is not Phase.ESTABLISHING, seconds=120)
    return known.status


def test_a_plain_file_gets_every_check_and_a_certificate(tmp_path, examiner):
    known = plain(tmp_path, tiny.scale(2.0))
    examiner.establish(known)
    status = settle(known)
    assert status.phase is Phase.ESTABLISHED
    found = {finding.check: finding.status for finding in status.report.findings}
    assert {"batch-invariance", "determinism", "optimization-parity"} <= set(found)
    assert set(found.values()) == {"pass"}
    assert status.report.certificate.verdict is Verdict.BITWISE
    assert known.batching.allowed


def test_a_bundle_gets_its_certificate_and_on_request_every_check(tmp_path, examiner):
    tiny.write_verified(tmp_path / "models", "m")
    workshop = ThreadWorkshop(at_once=1)
    loader = Loader(
        policy=ProviderPolicy.CPU,
        budget=tiny.BUDGET,
        workshop=workshop,
        batchers=tiny.batchers(),
        examiner=examiner,
        at_once=1,
    )
    known = loader.load(serving.planned(tmp_path / "models")).consistency
    examiner.establish(known)
    assert [finding.check for finding in settle(known).report.findings] == ["batch-invariance"]
    # the manifest's own tolerance, of the golden sample's size
    assert known.status.report.yardstick.tolerances["y"].source.endswith("a test")
    assert known.status.report.yardstick.magnitudes == {"y": 4.0}
    examiner.examine(known)
    assert len(settle(known).report.findings) > 1
    assert known.status.report.thorough
    loader.close()
    workshop.close()


def test_a_model_whose_rows_touch_is_refused_and_the_operator_named(tmp_path, examiner):
    known = plain(tmp_path, tiny.batch_mean())
    examiner.establish(known)
    status = settle(known)
    assert status.report.certificate.operator.name == "over_the_batch"
    assert not known.batching.allowed
    assert "ReduceMean 'over_the_batch'" in known.batching.reason


def test_a_model_without_a_batch_is_established_and_not_batched(tmp_path, examiner):
    known = plain(tmp_path, tiny.identity(Datatype.FP32, (4, 3)))
    examiner.establish(known)
    status = settle(known)
    assert status.report.certificate.verdict is Verdict.NOT_BATCHABLE
    assert "fixed to 4" in known.batching.reason
    assert status.report.yardstick.magnitudes["y"] > 0


def test_a_model_of_strings_is_established(tmp_path, examiner):
    known = plain(tmp_path, tiny.identity(Datatype.BYTES))
    examiner.establish(known)
    assert settle(known).report.certificate.verdict is Verdict.BITWISE
    assert known.status.report.yardstick.tolerances == {}


def test_a_model_of_which_no_input_is_known_is_not_batched_and_says_so(tmp_path, examiner):
    """It takes 1000003 columns and no other number, which nobody can guess."""
    tensor = (Datatype.FP32, ("rows", "columns"))
    picky = tiny.build(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        {"x": tensor},
        {"y": tensor},
        {"w": np.zeros((1, 1_000_003), np.float32)},
    )
    picky.graph.node.insert(0, helper.make_node("Reshape", ["x", "shape"], ["flat"]))
    picky.graph.node[1].input[0] = "flat"
    picky.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([0, 1_000_003], np.int64), "shape")
    )
    known = plain(tmp_path, picky)
    examiner.establish(known)
    status = settle(known)
    assert status.report.certificate.verdict is Verdict.NOT_BATCHABLE
    assert "no input was found" in known.batching.reason
    assert status.report.yardstick is None


def test_what_was_kept_is_not_established_again(tmp_path, examiner):
    known = plain(tmp_path, tiny.scale(2.0))
    examiner.establish(known)
    report = settle(known).report
    later = tiny.consistency_of(known.source.folder)
    examiner.recall(later)
    assert later.status.report == report
    assert later.status.is_kept
    examiner.establish(later)
    assert later.status.phase is Phase.ESTABLISHED


def test_what_cannot_be_kept_holds_all_the_same_and_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    examiner = Examiner(cache=Cache(tmp_path / "file"), at_load=True, timeout_s=120)
    known = plain(tmp_path, tiny.scale(2.0))
    examiner.establish(known)
    assert "cannot be written" in settle(known).not_kept
    assert known.batching.allowed
    examiner.close()


def test_nothing_is_established_that_nobody_asks_for_where_that_is_the_setting(tmp_path):
    examiner = Examiner(cache=Cache(tmp_path), at_load=False, timeout_s=120)
    known = plain(tmp_path, tiny.scale(2.0))
    examiner.establish(known)
    assert known.status.phase is Phase.UNKNOWN
    examiner.examine(known)
    assert settle(known).phase is Phase.ESTABLISHED
    examiner.close()


def test_a_file_that_changed_since_it_was_loaded_is_not_certified(tmp_path, examiner):
    known = plain(tmp_path, tiny.scale(2.0))
    known.source.model_path.write_bytes(tiny.scale(3.0).SerializeToString())
    examiner.establish(known)
    assert settle(known).phase is Phase.FAILED
    assert "was changed since it was loaded" in known.status.reason
    assert not known.batching.allowed


def test_an_examination_that_takes_too_long_is_given_up_and_holds_up_no_other(tmp_path):
    examiner = Examiner(cache=Cache(tmp_path / "kept"), at_load=True, timeout_s=3)
    endless = plain(tmp_path, tiny.slow(10_000_000), "endless")
    quick = plain(tmp_path, tiny.identity(Datatype.FP32, (1,)), "quick")
    examiner.establish(endless)
    assert settle(endless).phase is Phase.FAILED
    assert "longer than 3 seconds" in endless.status.reason
    examiner.establish(quick)
    tiny.wait_for(lambda: quick.status.phase is not Phase.ESTABLISHING, seconds=60)
    examiner.close()


def test_a_bug_costs_one_examination_and_is_logged(tmp_path):
    class Bursting(Cache):
        def write(self, report):
            if report.key.name == "first":
                raise RuntimeError("nobody knew")
            return super().write(report)

    examiner = Examiner(cache=Bursting(tmp_path / "kept"), at_load=True, timeout_s=120)
    first = plain(tmp_path, tiny.scale(2.0), "first")
    second = plain(tmp_path, tiny.scale(2.0), "second")
    with capture_logs() as logs:
        examiner.establish(first)
        examiner.establish(second)
        assert settle(second).phase is Phase.ESTABLISHED
    assert first.status.phase is Phase.FAILED
    assert "nobody knew" not in first.status.reason
    assert next(line for line in logs if line["model"] == "first")["exc_info"]
    examiner.close()


def test_requests_that_come_together_join_one_examination(tmp_path, examiner):
    known = plain(tmp_path, tiny.scale(2.0))
    with capture_logs() as logs:
        for _ in range(200):
            examiner.examine(known)
        settle(known)
    assert [line["event"] for line in logs] == ["consistency established"]


def test_a_request_is_not_answered_with_less_than_every_check(tmp_path, examiner):
    """It comes while only the certificate is being established."""
    tiny.write_verified(tmp_path / "models", "m")
    workshop = ThreadWorkshop(at_once=1)
    loader = Loader(
        policy=ProviderPolicy.CPU,
        budget=tiny.BUDGET,
        workshop=workshop,
        batchers=tiny.batchers(),
        examiner=examiner,
        at_once=1,
    )
    known = loader.load(serving.planned(tmp_path / "models")).consistency
    examiner.establish(known)
    examiner.examine(known)
    assert settle(known).report.thorough
    loader.close()
    workshop.close()


def test_closing_gives_up_what_is_being_established(tmp_path):
    examiner = Examiner(cache=Cache(tmp_path / "kept"), at_load=True, timeout_s=3600)
    endless = plain(tmp_path, tiny.slow(10_000_000), "endless")
    waiting = plain(tmp_path, tiny.scale(2.0), "waiting")
    examiner.establish(endless)
    examiner.establish(waiting)
    began = time.monotonic()
    examiner.close()
    assert time.monotonic() - began < 5
    assert endless.status.phase is Phase.ESTABLISHING
    assert not waiting.batching.allowed
    examiner.examine(waiting)
    assert not (tmp_path / "kept").exists()
