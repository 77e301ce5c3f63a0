import math
from xml.etree import ElementTree as ET

import pytest
import torch

from exporters.statistics import TrainEvalGap, draw_gap, measure_gap
from tests.exporters.statistics.networks import conv_net, data, trained

torch.set_num_threads(1)

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def gap():
    return measure_gap(trained(conv_net()), [data(16)], metric=lambda model: 0.875)


def parse(svg):
    return ET.fromstring(svg)  # noqa: S314 - what was just drawn


def texts(svg):
    return [element.text for element in parse(svg).iter(f"{SVG}text")]


def test_every_size_has_its_dot_and_number(gap):
    root = parse(draw_gap(gap))
    assert len(list(root.iter(f"{SVG}circle"))) == 4
    assert {"2", "4", "8", "16", "0.875"} <= set(texts(draw_gap(gap)))


def test_what_it_shows_is_also_said(gap):
    root = parse(draw_gap(gap.model_copy(update={"metric_name": "accuracy"})))
    assert root.get("role") == "img"
    assert "batches of 16: " in root.get("aria-label")
    assert "accuracy in eval mode: 0.875" in root.get("aria-label")


def test_nothing_in_it_comes_from_elsewhere(gap):
    drawn = draw_gap(gap)
    for forbidden in ("<script", "href", "url(", "@import"):
        assert forbidden not in drawn


def test_names_of_layers_are_escaped(gap):
    hostile = "]]><script>\"&'"
    renamed = gap.agreements[0].model_copy(update={"layer": hostile, "kind": hostile})
    drawn = draw_gap(gap.model_copy(update={"agreements": (renamed,)}))
    assert "<script>" not in drawn
    assert hostile in texts(drawn)


def test_only_the_layers_that_are_furthest_off_are_drawn(gap):
    many = tuple(
        gap.agreements[0].model_copy(update={"layer": f"layer{n}", "mean_distance": n / 10})
        for n in range(40)
    )
    shown = texts(draw_gap(gap.model_copy(update={"agreements": many})))
    assert "layer39" in shown
    assert "layer2" not in shown
    assert any("(the 12 furthest off of 40)" in text for text in shown)


def test_a_gap_of_nothing_and_one_without_bounds_can_be_drawn(gap):
    empty = TrainEvalGap(rows=1, seed=0, sizes=(), layers=(), agreements=())
    assert "no batch size was tried" in draw_gap(empty)
    endless = gap.sizes[0].model_copy(update={"distance": math.inf, "highest": math.inf})
    assert "∞" in texts(draw_gap(gap.model_copy(update={"sizes": (endless,)})))
