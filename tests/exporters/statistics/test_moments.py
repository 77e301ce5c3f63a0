import math

import pytest
import torch

from exporters.statistics.moments import RowMoments

torch.set_num_threads(1)


def pooled(batches, channels=3, *, per_instance=False, rows=None):
    collected = RowMoments(channels, per_instance=per_instance)
    for batch in batches:
        assert collected.add(batch, rows or len(batch))
    return collected.pooled()


def test_batches_of_any_cut_give_the_moments_of_all_elements():
    x = torch.randn(12, 3, 4, 5, dtype=torch.float64) + torch.arange(12.0)[:, None, None, None]
    for cut in (1, 5, 12):
        found = pooled(x.split(cut))
        torch.testing.assert_close(found.mean, x.mean((0, 2, 3)))
        torch.testing.assert_close(found.variance, x.transpose(0, 1).flatten(1).var(1))
        assert found.rows == 12


def test_the_average_of_batch_variances_would_have_been_something_else():
    x = torch.randn(12, 3, 20, dtype=torch.float64) + 3 * torch.arange(12.0)[:, None, None]
    averaged = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in x.split(2)]).mean(0)
    assert (pooled(x.split(2)).variance > 10 * averaged).all()


def test_instances_are_averaged_as_an_instance_norm_tracks_them():
    x = torch.randn(6, 3, 8) * 2 + 1
    layer = torch.nn.InstanceNorm1d(3, track_running_stats=True, momentum=1.0)
    layer(x)
    found = pooled([x], per_instance=True)
    torch.testing.assert_close(found.mean.float(), layer.running_mean)
    torch.testing.assert_close(found.variance.float(), layer.running_var)


def test_channels_at_the_end_are_found_and_others_are_left_out():
    x = torch.randn(5, 7, 3, dtype=torch.float64)
    torch.testing.assert_close(pooled([x]).mean, x.mean((0, 1)))
    collected = RowMoments(3, per_instance=False)
    assert not collected.add(torch.randn(5, 7, 4), 5)
    assert not collected.add(torch.randn(3), 3)
    assert collected.pooled() is None


@pytest.mark.parametrize(("spread", "least", "most"), [(0.0, 0.5, 2.0), (1.0, 5.0, 20.0)])
def test_the_error_of_a_mean_follows_the_correlation_within_rows(spread, least, most):
    generator = torch.Generator().manual_seed(0)
    rows, positions = 200, 100
    common = torch.randn(rows, 3, 1, generator=generator, dtype=torch.float64)
    own = torch.randn(rows, 3, positions, generator=generator, dtype=torch.float64)
    found = pooled([own + spread * common])
    without_correlation = 1 / math.sqrt(rows * positions)
    assert (found.mean_error > least * without_correlation).all()
    assert (found.mean_error < most * without_correlation).all()


def test_the_error_of_a_variance_is_its_spread_over_repetitions():
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(300, 40, 3, 1, generator=generator, dtype=torch.float64)
    found = [pooled([draw]) for draw in draws]
    spread = torch.stack([moments.variance for moments in found]).std(0)
    claimed = torch.stack([moments.variance_error for moments in found]).mean(0)
    torch.testing.assert_close(claimed, spread, rtol=0.15, atol=0)


def test_one_row_has_an_infinite_error():
    assert pooled([torch.randn(1, 3, 9)]).mean_error.isinf().all()


def test_what_was_folded_into_the_batch_axis_stays_one_row():
    windows = torch.randn(8, 3, 4, dtype=torch.float64)  # of 2 rows, 4 windows each
    found = pooled([windows], rows=2)
    assert found.rows == 2
    torch.testing.assert_close(found.mean, windows.mean((0, 2)))
    torch.testing.assert_close(found.variance, windows.transpose(0, 1).flatten(1).var(1))
