from exporters.error_histogram import ErrorHistogram
from exporters.report.error_chart import error_chart
from tests.exporters.report.pages import drawing


def bars(svg):
    return list(drawing(svg).iter("rect"))


def test_a_chart_has_a_bar_for_every_bin_and_marks_what_is_outside(report):
    counts = [0] * 28
    counts[18], counts[19], counts[20] = 10, 5, 1  # (1/4, 1/2], (1/2, 1], (1, 2]
    errors = ErrorHistogram(elements=17, equal=1, counts=tuple(counts), largest=1.5)
    parity = report.outputs[0].model_copy(update={"errors": errors, "own_errors": None})

    found = bars(error_chart(parity, identity="one"))

    assert [bar.get("class") for bar in found] == ["bar", "bar", "bar", "bar outside"]
    heights = [float(bar.get("height")) for bar in found]
    assert heights[1] > heights[2] > heights[3] > 0


def test_a_chart_says_in_words_what_it_shows(report):
    parity = report.outputs[0]
    root = drawing(error_chart(parity, identity="one"))

    assert root.find("title").text == "Errors of output scores"
    said = root.find("desc").text
    assert said.startswith(f"{parity.errors.elements} elements of all runs;")
    assert "0 are outside it" in said
    assert "PyTorch's own largest error" in said


def test_a_chart_of_no_elements_can_be_drawn(report):
    parity = report.outputs[0].model_copy(update={"errors": ErrorHistogram()})
    assert bars(error_chart(parity, identity="one")) == []
