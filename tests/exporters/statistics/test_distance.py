import math

import torch

from exporters.statistics.distance import distance, largest_distance


def test_floats_are_compared_in_parts_of_their_size():
    assert distance(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == 0.2


def test_integers_are_compared_one_by_one():
    assert distance(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 3, 5])) == 0.25


def test_equal_infinities_and_nans_add_nothing():
    same = torch.tensor([1.0, torch.nan, torch.inf])
    assert distance(same.clone(), same) == 0


def test_what_cannot_be_compared_is_infinitely_far():
    assert distance(torch.zeros(2), torch.zeros(3)) == math.inf
    assert distance(torch.tensor([torch.nan]), torch.tensor([1.0])) == math.inf
    assert distance(torch.ones(2), torch.zeros(2)) == math.inf
    assert largest_distance({"a": torch.zeros(1)}, {"b": torch.zeros(1)}) == math.inf


def test_the_worst_output_counts():
    one = {"a": torch.tensor([1.0]), "b": torch.tensor([3.0])}
    assert largest_distance(one, {"a": torch.tensor([1.0]), "b": torch.tensor([2.0])}) == 0.5
