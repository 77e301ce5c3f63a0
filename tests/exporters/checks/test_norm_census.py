from dataclasses import replace

import onnx
import pytest
import torch
from torch import nn

from exporters.checks.library.norm_census import check
from exporters.study import study

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def subject():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4)
    )
    return study(model.eval(), torch.rand(2, 3, 8, 8))


def changed(subject, change):
    file = onnx.ModelProto()
    file.CopyFrom(subject.file)
    change(file.graph)
    return replace(subject, file=file)


def test_a_file_with_every_norm_once_passes_and_is_counted(subject):
    finding = check(subject)
    assert finding.status == "pass"
    assert "3 normalization layers: 1 folded, 2 kept" in finding.meaning
    assert "1 GroupNormalization, 1 InstanceNormalization" in finding.meaning


def test_a_lost_norm_is_named(subject):
    def lose(graph):
        graph.node.remove(next(n for n in graph.node if n.op_type == "GroupNormalization"))

    finding = check(changed(subject, lose))
    assert finding.status == "fail"
    assert "'3' (GroupNorm) should be kept" in finding.meaning


def test_a_norm_that_is_no_layers_is_named(subject):
    def double(graph):
        node = next(n for n in graph.node if n.op_type == "InstanceNormalization")
        again = graph.node.add()
        again.CopyFrom(node)
        again.name = "again"

    finding = check(changed(subject, double))
    assert finding.status == "fail"
    assert "the InstanceNormalization 'again' is no layer's" in finding.meaning


def test_a_group_norm_that_was_written_lowered_is_found_in_its_parts():
    model = nn.Sequential(nn.GroupNorm(2, 4)).eval()
    finding = check(study(model, torch.rand(2, 4, 5, 5), lower_group_norm=True))
    assert finding.status == "pass"


def test_a_model_without_norms_has_nothing_to_count():
    assert check(study(nn.Linear(3, 3), torch.rand(2, 3))).status == "not_applicable"
