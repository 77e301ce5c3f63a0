import pytest
import torch

from exporters.probes import random_like


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_floats_stay_within_the_range_of_the_example(generator):
    example = torch.rand(100)

    probe = random_like(example, generator)

    assert example.min() <= probe.min() < probe.max() <= example.max()
    assert not torch.equal(probe, example)


def test_zeros_become_standard_normal(generator):
    probe = random_like(torch.zeros(1000), generator)

    assert 0.8 < float(probe.std()) < 1.2


def test_a_constant_becomes_uniform_below_it(generator):
    probe = random_like(torch.full((100,), 3.0), generator)

    assert 0 <= float(probe.min()) < float(probe.max()) <= 3


def test_infinities_of_an_additive_mask_do_not_spread(generator):
    probe = random_like(torch.tensor([0.0, -torch.inf, 1.0]), generator)

    assert torch.isfinite(probe).all()


def test_integers_stay_within_the_range_of_the_example(generator):
    probe = random_like(torch.tensor([3, 9] * 50), generator)

    assert (int(probe.min()), int(probe.max())) == (3, 9)


@pytest.mark.parametrize(
    "mask", [torch.tensor([0, 1, 1]), torch.tensor([True, False]), torch.ones(3, dtype=torch.long)]
)
def test_what_looks_like_a_mask_is_kept(mask, generator):
    assert torch.equal(random_like(mask, generator), mask)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8, torch.bool])
def test_types_are_kept(dtype, generator):
    assert random_like(torch.ones(4).to(dtype), generator).dtype is dtype


def test_an_empty_tensor_stays_empty(generator):
    assert random_like(torch.ones(0, 3), generator).shape == (0, 3)
