from datetime import UTC, datetime

from bundle import Tolerance
from bundle.certificate import BatchCertificate, Cell, Neighbours, Verdict
from exporters.report.matrix import matrix_of


def certificate(*cells):
    return BatchCertificate(
        verdict=Verdict.WITHIN_NOISE,
        reason="for a test",
        model_sha256="0" * 64,
        runtime="onnxruntime",
        provider="CPUExecutionProvider",
        device="a processor",
        threads=1,
        cells=cells,
        tolerances={"y": Tolerance(atol=0.1, rtol=0, source="for a test")},
        created=datetime.now(UTC),
    )


def cell(size, neighbours, worst, source="random", rows=4):
    return Cell(size=size, neighbours=neighbours, source=source, rows=rows, worst=worst)


def test_kinds_go_down_and_sizes_across_real_rows_first():
    matrix = matrix_of(
        certificate(
            cell(3, Neighbours.LOUD, 0.0, rows=9),
            cell(2, Neighbours.LOUD, 0.0),
            cell(2, Neighbours.DISTINCT, 0.0, source="real"),
        )
    )

    assert matrix.columns == (("real", (2,)), ("random", (2, 3)))
    assert [kind for kind, _ in matrix.rows] == ["distinct", "loud"]
    assert (matrix.fewest, matrix.most) == (4, 9)
    assert [c.is_first for c in matrix.rows[0][1]] == [True, True, False]


def test_a_cell_is_equal_noise_apart_or_untried():
    matrix = matrix_of(
        certificate(
            cell(2, Neighbours.DISTINCT, 0.0),
            cell(3, Neighbours.DISTINCT, 0.05),
            cell(5, Neighbours.DISTINCT, 0.5),
            cell(8, Neighbours.DISTINCT, float("inf")),
            cell(2, Neighbours.ZEROS, 0.0),
        )
    )
    (_, distinct), (_, zeros) = matrix.rows

    assert [c.state for c in distinct] == ["equal", "noise", "apart", "apart"]
    assert [c.state for c in zeros] == ["equal", "untried", "untried", "untried"]


def test_without_trials_there_is_no_table():
    assert matrix_of(certificate()).rows == ()
