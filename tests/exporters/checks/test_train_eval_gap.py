from dataclasses import replace

import pytest
import torch
from torch import nn

from exporters.checks.library.train_eval_gap import check
from exporters.statistics import NamedMetric, measure_gap
from exporters.study import study
from tests.exporters.statistics.networks import conv_net, data, trained

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def subject():
    return study(trained(conv_net()), data(3), reference_inputs=[data(30), data(10, seed=3)])


def with_model(subject, model):
    return replace(subject, source=replace(subject.source, model=model))


def test_a_gap_that_shrinks_with_the_batch_passes(subject):
    finding = check(subject)
    assert finding.status == "pass"
    assert "in batches of 2 and by" in finding.meaning
    assert "in batches of 32, as sampling explains" in finding.meaning


def test_running_statistics_of_other_data_are_a_warning(subject):
    model = trained(conv_net())
    model[4].running_mean.add_(5)
    finding = check(with_model(subject, model))
    assert finding.status == "warn"
    assert "off by more than sampling explains in 1 of 2 layers, '4' first" in finding.meaning


def test_a_gap_that_stays_is_a_warning_though_the_statistics_agree():
    model = nn.Sequential(nn.InstanceNorm2d(2, track_running_stats=True), nn.Flatten())
    finding = check(study(trained(model), data(2), reference_inputs=[data(32)]))
    assert finding.status == "warn"
    assert "does not shrink as sampling noise does" in finding.meaning
    assert finding.measured > finding.tolerance.atol


def test_without_running_statistics_there_is_no_gap_and_that_is_measured():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Dropout(0.5))
    finding = check(study(model.eval(), data(3)))
    assert finding.status == "not_applicable"
    assert finding.measured == 0
    assert "bit for bit, in the outputs and in each of 1 normalization layer" in finding.meaning


def test_without_real_inputs_how_much_it_is_cannot_be_said(subject):
    finding = check(replace(subject, references=()))
    assert finding.status == "not_applicable"
    assert "give reference_inputs" in finding.meaning


def test_single_rows_cannot_be_compared(subject):
    alone = (subject.source.call.tensors(data(1)),)
    finding = check(replace(subject, references=alone))
    assert finding.status == "not_applicable"
    assert finding.meaning.startswith("1 rows of real inputs can share a batch; it takes 2")


def test_a_model_that_cannot_train_on_the_data_is_not_judged(subject):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(2, track_running_stats=True))
    finding = check(with_model(subject, model.eval()))
    assert finding.status == "not_applicable"
    assert "more than 1 spatial element" in finding.meaning


class NormInTraining(nn.Module):
    """Something that only calls itself a norm."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x if self.training else x


@pytest.mark.parametrize(("factor", "status"), [(1.01, "pass"), (3.0, "warn")])
def test_a_difference_without_running_statistics_is_no_matter_of_sampling(factor, status):
    finding = check(study(NormInTraining(factor).eval(), data(2), reference_inputs=[data(8)]))
    assert finding.status == status
    assert "though no layer has running statistics" in finding.meaning


def test_outputs_that_are_not_finite_in_training_mode_are_a_warning(subject):
    model = nn.Sequential(conv_net(), NormInTraining(torch.inf))
    finding = check(with_model(subject, trained(model)))
    assert finding.status == "warn"
    assert "not finite where those of eval mode are" in finding.meaning


def test_after_a_recalibration_the_gap_before_and_after_is_told(subject):
    off = trained(conv_net())
    off[4].running_mean.add_(5)
    before = measure_gap(off, [data(30), data(10, seed=3)])
    now, told = check(replace(subject, gap_before=before))
    assert now.status == told.status == "pass"
    assert "estimated anew from 40 rows" in told.meaning
    assert told.measured < before.sizes[-1].distance


def test_what_the_gap_does_to_a_metric_is_told(subject):
    metric = NamedMetric("mean output", lambda model: float(model(data(20)).mean()))
    finding = check(replace(subject, metric=metric))
    assert "(mean output: " in finding.meaning
    assert " in eval mode, " in finding.meaning
    assert finding.meaning.count("in batches of 32") == 2
