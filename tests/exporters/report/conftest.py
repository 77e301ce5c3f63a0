"""Two examinations that all tests of the report look at: one that passes, one that fails."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import exporters
from exporters.graph import optimize
from exporters.report import describe
from tests.exporters.networks import trained

torch.set_num_threads(1)


class Network(nn.Module):
    """Batch norms that fold, a layer norm that stays, a weight norm that is merged."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
        self.ln = nn.LayerNorm(5)
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))

    def forward(self, pixels):
        features = self.bn2(self.conv2(self.bn1(self.conv1(pixels)).relu()))
        scores = self.head(self.ln(features.mean((2, 3))))
        return {"scores": scores, "label": scores.argmax(1)}


def examine(**options):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    calls = [torch.rand(n, 3, 8, 8, generator=generator) for n in (2, 9, 3)]
    return exporters.examine(
        trained(Network()).eval(), calls[0], name="net", reference_inputs=calls[1:], **options
    )


@pytest.fixture(scope="session")
def examination():
    return examine()


@pytest.fixture(scope="session")
def report(examination):
    return describe(examination)


@pytest.fixture(scope="session")
def failed():
    """The weight of the second convolution is off by a thousandth after the fold."""

    def spoil(model):
        rewrites = optimize(model)
        node = next(n for n in model.graph if n.name.startswith("conv2/"))
        weight = node.inputs[1]
        weight.const_value = ir.Tensor(weight.const_value.numpy() * np.float32(1.001))
        return rewrites

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporters.convert.optimize", spoil)
        return examine(version=2)
