"""dynamic-dimensions and outputs: what the file takes and gives."""

import torch
from torch import nn

from exporters.checks.library import dynamic_dimensions, outputs
from exporters.study import study

torch.set_num_threads(1)


def test_a_batch_is_run_at_several_sizes():
    (finding,) = dynamic_dimensions.check(study(nn.Linear(3, 3), torch.rand(2, 3)))
    assert finding.status == "pass"
    assert finding.meaning == "dimension 'batch' was run at 1, 2, 3, 5, 7"


class OneLength(nn.Module):
    def forward(self, x):
        if not torch.compiler.is_exporting() and x.shape[1] != 4:
            raise ValueError("four steps only")
        return x * 2


def test_a_dimension_that_the_model_takes_at_one_size_only_is_a_warning():
    shapes = {"x": {0: "batch", 1: "length"}}
    subject = study(OneLength(), torch.rand(2, 4, 3), dynamic_shapes=shapes)
    by_status = {f.status: f.meaning for f in dynamic_dimensions.check(subject)}
    assert by_status["warn"].startswith("dimension 'length' was run at 4 only")


class Cache:
    """Nothing that torch could look into."""


class Chatty(nn.Module):
    def forward(self, x):
        return {"scores": x * 2, "past": Cache()}


def test_what_is_no_tensor_is_named():
    finding = outputs.check(study(Chatty(), torch.rand(2, 3)))
    assert finding.status == "warn"
    assert "past (Cache)" in finding.meaning


def test_a_model_that_returns_tensors_only_passes():
    assert outputs.check(study(nn.Linear(3, 3), torch.rand(2, 3))).status == "pass"
