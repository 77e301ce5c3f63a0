"""Each metric against cases that can be worked out by hand."""

import math

import numpy as np
import pytest
import torch

from models.detection import Detections, average_precision, decode
from models.metrics import (
    IGNORED,
    accuracy,
    bits_per_token,
    box_iou,
    mean_absolute_error,
    mean_iou,
)
from models.texture import grams, grams_of_array


def test_accuracy_leaves_out_what_is_not_asked():
    logits = np.eye(3)[[0, 1, 2, 2]]
    assert accuracy(logits, np.array([0, 1, 0, IGNORED])) == pytest.approx(2 / 3)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary():
    assert bits_per_token(np.full((5, 8), 1e4), np.arange(5)) == pytest.approx(3)


def test_bits_are_those_of_the_softmax():
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.125, 0.375, 0.5]]))
    assert bits_per_token(logits, np.array([0, 0])) == pytest.approx((1 + 3) / 2)


def test_mean_absolute_error_is_in_the_unit_of_the_values():
    assert mean_absolute_error(np.array([1.0, 4.0]), np.array([2.0, 2.0])) == 1.5


def test_mean_iou_averages_over_the_classes_that_occur():
    truth = np.array([0, 0, 1, 1])
    assert mean_iou(np.array([0, 1, 1, 1]), truth, number=5) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_box_iou_is_area_over_area():
    boxes = np.array([[0.0, 0.0, 2.0, 2.0]])
    others = np.array([[1.0, 0.0, 3.0, 2.0], [5.0, 5.0, 6.0, 6.0], [0.0, 0.0, 2.0, 2.0]])
    assert box_iou(boxes, others)[0] == pytest.approx([1 / 3, 0, 1])


def test_a_detector_that_is_sure_of_a_cell_finds_its_box():
    class_logits = np.full((2, 3, 4), -20.0)
    distances = np.zeros((4, 3, 4))
    class_logits[1, 2, 1] = 5
    distances[:, 2, 1] = 1, 2, 3, 4
    found = decode(class_logits, distances)
    assert found.boxes.tolist() == [[5, 8, 9, 14]]
    assert found.classes.tolist() == [1]
    assert found.scores == pytest.approx([1 / (1 + math.exp(-5))])


def test_of_two_boxes_around_one_object_the_better_stays():
    class_logits = np.full((1, 1, 2), 3.0)
    class_logits[0, 0, 1] = 4.0
    distances = np.full((4, 1, 2), 8.0)
    assert decode(class_logits, distances).boxes.tolist() == [[-2, -6, 14, 10]]


def test_nothing_found_is_no_error():
    assert len(decode(np.full((2, 3, 3), -9.0), np.ones((4, 3, 3))).boxes) == 0


BOX = np.array([[0.0, 0.0, 4.0, 4.0]])
FAR = np.array([[50.0, 50.0, 54.0, 54.0]])


def found(*scored, number=0):
    boxes = [box for box, _ in scored]
    return Detections(
        np.concatenate(boxes) if boxes else np.zeros((0, 4)),
        np.array([score for _, score in scored]),
        np.full(len(scored), number),
    )


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        (found((BOX, 0.9)), 1.0),
        (found(), 0.0),
        (found((FAR, 0.9)), 0.0),
        (found((FAR, 0.9), (BOX, 0.8)), 0.5),
        (found((BOX, 0.9), (FAR, 0.8)), 1.0),
        (found((BOX, 0.9), (BOX, 0.8)), 1.0),
        (found((BOX, 0.9), number=1), 0.0),
    ],
    ids=["right", "silent", "wrong", "wrong first", "wrong last", "twice", "wrong class"],
)
def test_average_precision_of_one_object(detections, expected):
    assert average_precision([detections], [BOX], [np.array([0])]) == pytest.approx(expected)


def test_a_second_detection_of_an_object_counts_as_wrong():
    twice = found((BOX, 0.9), (BOX, 0.8), (FAR, 0.7))
    precision = average_precision([twice], [np.concatenate([BOX, FAR])], [np.array([0, 0])])
    assert precision == pytest.approx((1 + 2 / 3) / 2)


def test_both_forms_of_the_texture_agree():
    picture = np.random.default_rng(4).random((2, 3, 20, 17), dtype=np.float32)
    by_torch = grams(torch.from_numpy(picture.astype(np.float64)))
    for item in range(2):
        for theirs, ours in zip(by_torch, grams_of_array(picture[item]), strict=True):
            np.testing.assert_allclose(theirs[item].numpy(), ours, rtol=1e-10, atol=1e-12)
