import pytest

from exporters.report.strips import spark, strip
from tests.exporters.report.pages import drawing


@pytest.mark.parametrize(
    ("part", "x", "kind"),
    [
        (0.0, 4, "dot"),
        (1e-9, 4, "dot"),
        (1.0, 64.8, "dot"),
        (1.1, 65.43, "dot outside"),
        (float("inf"), 80, "dot outside"),
    ],
)
def test_a_dot_stands_where_its_error_is_and_never_beyond_the_ends(part, x, kind):
    dot = drawing(strip(part)).find("circle")
    assert (float(dot.get("cx")), dot.get("class")) == (pytest.approx(x, abs=0.01), kind)


def test_a_spark_line_rises_from_the_least_to_the_largest():
    line = drawing(spark([10.0, 0.1, 1.0])).find("polyline")
    points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
    assert points == [(1, 15), (36, 8), (71, 1)]


@pytest.mark.parametrize("values", [(), (0.0, -1.0, float("nan"))])
def test_without_positive_values_there_is_no_line(values):
    assert drawing(spark(values)).find("polyline") is None
