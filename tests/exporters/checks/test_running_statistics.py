from dataclasses import replace

import pytest
import torch
from torch import nn

from exporters.checks.library.running_statistics import NAME, check
from exporters.study import study
from tests.exporters.statistics.networks import conv_net, data, trained

torch.set_num_threads(1)


@pytest.fixture
def subject(studied):
    """What `studied` is, with a model that a test may spoil: the file is not looked at."""
    model = conv_net()
    model.load_state_dict(studied.source.model.state_dict())
    return replace(studied, source=replace(studied.source, model=model.eval()))


@pytest.fixture(scope="module")
def studied():
    return study(trained(conv_net()), data(2), reference_inputs=[data(30), data(10, seed=3)])


def norms(subject):
    model = subject.source.model
    return model[1], model[4]


def only(findings):
    (finding,) = findings
    assert finding.check == NAME
    return finding


def test_sound_statistics_that_agree_with_real_inputs_pass(subject):
    finding = only(check(subject))
    assert finding.status == "pass"
    assert finding.measured < finding.tolerance.atol
    assert "agree with the real inputs" in finding.meaning


def test_without_real_inputs_they_are_sound_as_far_as_it_goes(subject):
    finding = only(check(replace(subject, references=())))
    assert finding.status == "pass"
    assert "no real inputs to compare them with" in finding.meaning


def test_a_handful_of_real_inputs_is_not_judged_by(subject):
    few = (subject.source.call.tensors(data(3, shift=9)),)
    finding = only(check(replace(subject, references=few)))
    assert finding.status == "pass"
    assert "3 rows of real inputs are too few" in finding.meaning


def test_real_inputs_of_another_kind_are_a_warning(subject):
    others = (subject.source.call.tensors(data(30, shift=4)),)
    finding = only(check(replace(subject, references=others)))
    assert finding.status == "warn"
    assert finding.measured > 1
    assert finding.meaning.startswith(
        "running statistics are not those of the real inputs in 2 layers: '1' (BatchNorm2d)"
    )


def test_a_model_without_running_statistics_is_none_of_its_business():
    finding = only(check(study(nn.Linear(3, 3), torch.rand(2, 3))))
    assert finding.status == "not_applicable"


@pytest.mark.parametrize("value", [-1e-3, torch.nan])
def test_a_variance_that_is_none_fails(subject, value):
    norms(subject)[1].running_var[2] = value
    statuses = {finding.status: finding for finding in check(subject)}
    assert "'4' (BatchNorm2d)" in statuses["fail"].meaning
    assert "in channel 2 (1 of 6 channels)" in statuses["fail"].meaning


def test_a_model_that_was_never_trained_is_a_warning_and_can_be_exported():
    finding = only(check(study(conv_net().eval(), data(2))))
    assert finding.status == "warn"
    assert "never updated in 2 layers" in finding.meaning


def test_a_channel_that_amplifies_is_named(subject):
    norms(subject)[0].running_var[5] = 1e-9
    warned = [finding for finding in check(subject) if "below epsilon" in finding.meaning]
    assert "in channel 5 (1 of 6 channels)" in warned[0].meaning
    assert warned[0].measured > warned[0].tolerance.atol == 100


def test_a_momentum_that_forgets_is_a_warning_unless_real_inputs_agree(subject):
    for norm in norms(subject):
        norm.momentum = 0.9
    assert only(check(subject)).status == "pass"

    finding = only(check(replace(subject, references=())))
    assert finding.status == "warn"
    assert finding.measured == pytest.approx(1.1 / 0.9)
    assert "momentum that forgets in 2 layers" in finding.meaning


def test_too_few_updates_are_a_warning(subject):
    for norm in norms(subject):
        norm.num_batches_tracked.fill_(3)
    finding = only(check(replace(subject, references=())))
    assert finding.measured == pytest.approx(0.9**3)
    assert "updated too few times" in finding.meaning


def test_every_finding_that_is_not_a_pass_says_what_to_do(subject):
    first, second = norms(subject)
    first.running_mean[0], first.momentum = 1e5, 0.9
    second.running_var[0] = -1
    found = check(replace(subject, references=()))
    assert len(found) == 3
    assert all(finding.remedy for finding in found)
