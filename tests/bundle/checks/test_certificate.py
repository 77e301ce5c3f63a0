from datetime import UTC

import numpy as np
import onnx
import pytest

from bundle import DimensionRange
from bundle.checks import (
    BatchCertificate,
    Neighbours,
    Standing,
    Subject,
    Verdict,
    certify,
)
from tests.bundle.checks.ordinary import ORDINARY
from tests.bundle.checks.texts import normal, parse
from tests.bundle.checks.traps import TRAPS


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_refused_and_the_operator_is_named(name):
    op_type, model = TRAPS[name]
    certificate = certify(Subject(model=model))
    assert certificate.verdict is Verdict.DEPENDENT, certificate.reason
    assert not certificate.allows_batching
    assert certificate.operator is not None
    assert certificate.operator.op_type == op_type, certificate.reason
    assert op_type in certificate.reason


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_network_is_certified(name):
    certificate = certify(Subject(model=ORDINARY[name]))
    assert certificate.allows_batching, certificate.reason
    assert certificate.standing is Standing.INDEPENDENT
    assert certificate.unknown == ()
    assert certificate.sizes == (2, 3, 5, 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(float[4, 3] x) => (float[4, 3] y) { y = Relu (x) }", "axis 0 is fixed to 4"),
        ("(float x) => (float y) { y = Relu (x) }", "input 'x' is a scalar"),
        (
            "(float[batch, 3] x, float[3] w) => (float[batch, 3] y) { y = Mul (x, w) }",
            "input 'w' has no batch axis",
        ),
        (
            "(float[n, n] x) => (float[n, n] y) { y = Relu (x) }",
            "dimension 'n' is axis 1 of input 'x' as well as axis 0",
        ),
        (
            "(float[batch, 3] x) => (float y) { y = ReduceMean <keepdims = 0> (x) }",
            "output 'y' has shape () for 1 rows",
        ),
        (
            "(float[batch, 3] x) => (float[3, batch] y) { y = Transpose <perm = [1, 0]> (x) }",
            "output 'y' has shape (3, 1) for 1 rows",
        ),
        (
            """(float[batch, 3] x) => (float[batch, 3] y) {
                a, b = Split <axis = 0, num_outputs = 2> (x)
                s = Add (a, b)
                y = Concat <axis = 0> (s, s)
            }""",
            "output 'y' has shape (0, 3) for 1 rows",
        ),
        (
            """(float[batch, 4] x) => (float[batch, 4] y) {
                shape = Constant <value_ints = [1, 4]> ()
                y = Reshape (x, shape)
            }""",
            "no input was found",
        ),
    ],
)
def test_a_model_without_a_batch_is_not_batchable_and_says_why(text, says):
    certificate = certify(Subject(model=parse(text)))
    assert certificate.verdict is Verdict.NOT_BATCHABLE
    assert not certificate.allows_batching
    assert says in certificate.reason


def test_the_operator_is_named_where_an_output_has_no_batch_axis_either():
    model = parse("(float[batch, 3] x) => (float y) { y = ReduceMean <keepdims = 0> (x) }")
    certificate = certify(Subject(model=model))
    assert certificate.operator is not None
    assert certificate.operator.op_type == "ReduceMean"


def test_the_witness_says_which_row_moved_and_how():
    _, model = TRAPS["the mean over the batch is subtracted"]
    certificate = certify(Subject(model=model))
    witness = certificate.witness
    assert witness is not None
    assert witness.output == "y"
    assert len(witness.index) == 1
    assert float(witness.alone) == 0.0
    assert float(witness.batched) != 0.0
    assert str(witness) in certificate.reason


def test_what_no_trial_shows_is_refused_by_its_operator_alone():
    _, model = TRAPS["only from nine rows on"]
    certificate = certify(Subject(model=model))
    assert certificate.witness is None
    assert certificate.noise == 0
    assert certificate.verdict is Verdict.DEPENDENT
    assert "no trial showed it" in certificate.reason


def test_an_unknown_operator_is_left_to_the_trials_and_the_certificate_says_so():
    model = parse(
        """(float[batch, 4] x) => (float[batch, 4] y)
        { y = com.microsoft.FusedMatMul <transB = 1> (x, w) }""",
        weights={"w": normal(4, 4)},
    )
    certificate = certify(Subject(model=model))
    assert certificate.verdict is Verdict.BITWISE
    assert certificate.standing is Standing.UNKNOWN
    assert [str(operator) for operator in certificate.unknown] == ["com.microsoft.FusedMatMul 'y'"]
    assert "rests on trials" in certificate.reason


def test_an_unknown_operator_that_reaches_over_the_batch_is_found_by_trials():
    model = parse(
        """(float[batch, 4] x) => (float[batch, 4] y)
        { y = com.microsoft.Pad (x, one_row_down) }""",
        weights={"one_row_down": np.int64([1, 0, -1, 0])},
    )
    certificate = certify(Subject(model=model))
    assert certificate.verdict is Verdict.DEPENDENT
    assert certificate.witness is not None
    assert "suspects: com.microsoft.Pad 'y'" in certificate.reason


def test_rows_in_a_sequence_are_refused():
    model = parse(
        """(float[batch, 4] x) => (float[batch, 4] y) {
            one = Constant <value_int = 1> ()
            zero = Constant <value_int = 0> ()
            rows = SplitToSequence <axis = 0> (x, one)
            first = SequenceAt (rows, zero)
            y = Add (x, first)
        }"""
    )
    certificate = certify(Subject(model=model))
    assert certificate.verdict is Verdict.DEPENDENT
    assert certificate.witness is not None


def looping(body):
    return parse(
        f"""(float[batch, 4] x) => (float[batch, 4] y) {{
            count = Constant <value_int = 100> ()
            yes = Constant <value = bool {{1}}> ()
            y = Loop (count, yes, x) <body = step
                (int64 i, bool go, float[batch, 4] a) => (bool on, float[batch, 4] b)
                {{ on = Identity (go) {body} }}>
        }}"""
    )


def test_a_loop_of_many_iterations_is_followed_until_nothing_changes():
    certificate = certify(Subject(model=looping("b = Sin (a)")))
    assert certificate.standing is Standing.INDEPENDENT
    assert certificate.allows_batching


def test_what_a_loop_of_many_iterations_brings_together_is_found():
    body = "z = Constant <value_float = 1e-12> () m = ReduceMean (a) n = Mul (m, z) b = Add (a, n)"
    certificate = certify(Subject(model=looping(body)))
    assert str(certificate.operator) == "ReduceMean 'm' in Loop 'y'"


def test_hostile_neighbours_that_an_integer_has_not_are_left_out():
    model = parse("(int64[batch, 4] x) => (int64[batch, 4] y) { y = Neg (x) }")
    certificate = certify(Subject(model=model))
    assert certificate.verdict is Verdict.BITWISE
    assert set(Neighbours) - set(certificate.neighbours) == {Neighbours.NAN, Neighbours.INFINITE}


def test_every_size_and_kind_of_neighbour_is_in_the_matrix():
    certificate = certify(Subject(model=ORDINARY["a residual network"]))
    tried = {(cell.size, cell.neighbours) for cell in certificate.cells}
    assert tried == {(size, kind) for size in (2, 3, 5, 8) for kind in Neighbours}


def test_a_declared_limit_of_the_batch_is_kept(scaling):
    proto, manifest, sample = scaling
    limited = manifest.model_copy(update={"dimensions": {"batch": DimensionRange(maximum=3)}})
    certificate = certify(Subject(model=proto, manifest=limited, inputs=(sample.inputs,)))
    assert certificate.sizes == (2, 3)
    assert certificate.allows_batching


@pytest.mark.parametrize(
    ("allowed", "says"),
    [(DimensionRange(minimum=2), "is 2 at least"), (DimensionRange(maximum=1), "is 1 at most")],
)
def test_a_batch_that_cannot_be_one_row_or_more_is_none(scaling, allowed, says):
    proto, manifest, _ = scaling
    limited = manifest.model_copy(update={"dimensions": {"batch": allowed}})
    certificate = certify(Subject(model=proto, manifest=limited))
    assert certificate.verdict is Verdict.NOT_BATCHABLE
    assert says in certificate.reason


def test_a_bundle_is_tried_with_its_golden_samples(written):
    certificate = certify(Subject.of_bundle(written))
    assert {cell.source for cell in certificate.cells} == {"real", "random"}
    assert certificate.model_sha256 == written.manifest.files["model.onnx"]


def test_a_plain_file_with_external_data_is_certified(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save_model(
        ORDINARY["a convolutional classifier"],
        path,
        save_as_external_data=True,
        size_threshold=0,
    )
    assert certify(Subject(model=path)).allows_batching


def test_a_certificate_says_what_it_was_made_on_and_survives_json():
    certificate = certify(Subject(model=ORDINARY["an LSTM"]))
    assert certificate.provider == "CPUExecutionProvider"
    assert certificate.runtime.startswith("onnxruntime ")
    assert certificate.device
    assert certificate.threads == 1
    assert certificate.created.tzinfo is UTC
    text = certificate.model_dump_json()
    assert BatchCertificate.model_validate_json(text) == certificate


def test_the_same_subject_gets_the_same_certificate():
    subject = Subject(model=ORDINARY["an LSTM"])
    first, second = (certify(subject).model_dump(exclude={"created"}) for _ in range(2))
    assert first == second


def test_a_model_that_is_slow_is_tried_in_fewer_batches():
    certificate = certify(Subject(model=ORDINARY["an LSTM"]), seconds=0.0)
    assert [(cell.size, cell.neighbours) for cell in certificate.cells] == [
        (3, Neighbours.DISTINCT)
    ]
    assert certificate.allows_batching
