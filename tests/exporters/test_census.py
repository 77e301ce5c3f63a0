import pytest
import torch
from torch import nn
from torch.nn import functional

from exporters.calls import Call, Flat
from exporters.census import take_census
from exporters.convert import convert
from exporters.observe import observe_inputs
from tests.exporters.networks import trained

torch.set_num_threads(1)


class LlamaRMSNorm(nn.Module):
    """As transformers writes it."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.variance_epsilon = 1e-6

    def forward(self, x):
        wide = x.to(torch.float32)
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * scaled.to(x.dtype)


class FrozenBatchNorm2d(nn.Module):
    """As torchvision writes it."""

    def __init__(self, channels):
        super().__init__()
        self.eps = 1e-5
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


class GRN(nn.Module):
    """Global response normalization (Woo et al. 2023, https://arxiv.org/abs/2301.00808)."""

    def forward(self, x):
        energy = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        return x * energy / (energy.mean(1, keepdim=True) + 1e-6)


class WSConv2d(nn.Conv2d):
    """A weight-standardized convolution (Qiao et al. 2019, https://arxiv.org/abs/1903.10520)."""

    def forward(self, x):
        spread, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return self._conv_forward(x, (self.weight - mean) / (spread + 1e-5), self.bias)


class EveryNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3)
        self.folded = nn.BatchNorm2d(64)
        self.kept = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1)
        self.frozen = FrozenBatchNorm2d(64)
        self.group = nn.GroupNorm(4, 64)
        self.instance = nn.InstanceNorm2d(64)
        self.tracking = nn.InstanceNorm2d(64, track_running_stats=True)
        self.conv3 = nn.utils.parametrizations.weight_norm(nn.Conv2d(64, 64, 3))
        self.standardized = WSConv2d(64, 64, 1)
        self.grn = GRN()
        self.layer = nn.LayerNorm(64)
        self.rms = nn.RMSNorm(64)
        self.llama = LlamaRMSNorm(64)
        self.never_called = nn.LayerNorm(7)
        self.no_use = nn.LayerNorm(64)
        self.alias = self.layer
        self.block = nn.ModuleDict({"norm": nn.LayerNorm(64)})

    def forward(self, x):
        x = self.folded(self.conv(x))
        x = self.frozen(self.conv2(self.kept(x.relu())))
        x = self.instance(self.group(x).relu())
        x = self.tracking(self.conv3(x.relu()))
        x = self.grn(self.standardized(x.relu()))
        x = x.flatten(2).transpose(1, 2)
        x = self.llama(self.rms(self.alias(x).relu()).relu())
        self.no_use(x)
        return functional.layer_norm(self.block["norm"](x).relu(), (64,))


EXPECTED = {
    "folded": ("BatchNorm2d", "folded", "Conv"),
    "kept": ("BatchNorm2d", "kept", "BatchNormalization"),
    "frozen": ("FrozenBatchNorm2d", "folded", "Conv"),
    "group": ("GroupNorm", "kept", "GroupNormalization"),
    "instance": ("InstanceNorm2d", "kept", "InstanceNormalization"),
    "tracking": ("InstanceNorm2d", "folded", "Conv"),
    "standardized": ("WSConv2d", "merged", "Conv"),
    "grn": ("GRN", "decomposed", "ReduceL2"),
    "layer": ("LayerNorm", "kept", "LayerNormalization"),
    "rms": ("RMSNorm", "kept", "RMSNormalization"),
    "llama": ("LlamaRMSNorm", "kept", "RMSNormalization"),
    "never_called": ("LayerNorm", "removed", None),
    "no_use": ("LayerNorm", "removed", None),
    "block.norm": ("LayerNorm", "kept", "LayerNormalization"),
    "conv3.weight": ("WeightNorm", "merged", "Conv"),
    "layer_norm": ("functional layer_norm", "kept", "LayerNormalization"),
}


@pytest.fixture(scope="module")
def every():
    torch.manual_seed(0)
    model = trained(EveryNorm()).eval()
    x = torch.randn(2, 3, 9, 9)
    converted = convert(model, x)
    with torch.no_grad():
        observed = observe_inputs(Flat(model, Call.of(model, x)), [(x,)])
    return converted, {norm.name: norm for norm in take_census(model, converted, observed)}


def test_every_norm_is_accounted_for_once(every):
    _, norms = every

    assert {n.name: (n.kind, n.fate, n.op) for n in norms.values()} == EXPECTED


def test_every_norm_operator_of_the_file_belongs_to_a_layer(every):
    converted, norms = every
    accounted = {node for norm in norms.values() for node in norm.nodes}

    operators = {n.name for n in converted.model.graph if n.op_type.endswith("Normalization")}
    assert operators <= accounted


def test_every_node_that_is_named_is_in_the_file(every):
    converted, norms = every
    present = {node.name for node in converted.model.graph.all_nodes()}

    assert {node for norm in norms.values() for node in norm.nodes} <= present


def test_the_numbers_that_a_layer_computed_with_are_kept(every):
    _, norms = every

    assert {name for name, norm in norms.items() if norm.statistics} == {
        "folded",
        "kept",
        "frozen",
        "tracking",
    }


def test_the_inputs_of_every_layer_that_ran_were_observed(every):
    _, norms = every

    unseen = {name for name, norm in norms.items() if norm.input_statistics is None}
    assert unseen == {"never_called", "standardized", "conv3.weight", "layer_norm"}


def test_the_detail_says_where_to_look(every):
    _, norms = every

    assert norms["folded"].detail == "into Conv 'conv/Conv'"
    assert norms["kept"].detail == "as BatchNormalization 'kept/BatchNormalization'"
    assert norms["never_called"].detail == "never called with these inputs"
    assert norms["no_use"].detail == "no output depends on it"
    assert norms["conv3.weight"].detail == "into the weight of Conv 'conv3/Conv'"


def test_a_norm_without_an_operator_at_the_opset_is_decomposed_and_says_so():
    model = nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4))

    (norm,) = take_census(model, convert(model, torch.randn(2, 4), opset=22), {})

    assert norm.fate == "decomposed"
    assert "RMSNormalization needs opset 23, this is 22" in norm.detail


def test_a_norm_that_is_called_twice_is_kept_where_it_cannot_fold():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 64)
            self.norm = nn.BatchNorm1d(64)

        def forward(self, x):
            return self.norm(self.norm(self.linear(x)).relu())

    model = trained(Shared()).eval()

    (norm,) = take_census(model, convert(model, torch.randn(2, 64)), {})

    assert (norm.fate, norm.op) == ("kept", "BatchNormalization")
    assert "in other calls folded into Gemm 'linear/Gemm'" in norm.detail


def test_a_scale_and_shift_written_as_batch_normalization_makes_no_batch_norm_of_a_layer():
    class CustomNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(1, 64, 1, 1) + 0.5)
            self.shift = nn.Parameter(torch.rand(1, 64, 1, 1))

        def forward(self, x):
            return torch.tanh(x) * self.scale + self.shift

    (norm,) = take_census(
        model := nn.Sequential(CustomNorm()), convert(model, torch.randn(2, 64, 8, 8)), {}
    )
    assert norm.fate == "decomposed"
    assert any("BatchNormalization" in node for node in norm.nodes)


class BatchNormAct(nn.BatchNorm2d):
    """A batch norm with its activation in one layer, as image libraries have it."""

    def __init__(self, channels, activation):
        super().__init__(channels)
        self.act = activation

    def forward(self, x):
        return self.act(super().forward(x))


@pytest.mark.parametrize(
    ("activation", "operators"),
    [(nn.ReLU(), ["Relu"]), (nn.SiLU(), ["Sigmoid", "Mul"]), (nn.Hardswish(), ["HardSwish"])],
)
def test_a_batch_norm_with_an_activation_in_it_is_folded_and_its_activation_stays(
    activation, operators
):
    model = trained(nn.Sequential(nn.Conv2d(3, 64, 3), BatchNormAct(64, activation))).eval()

    (norm,) = take_census(model, convert(model, torch.randn(2, 3, 8, 8)), {})

    assert (norm.fate, norm.op) == ("folded", "Conv")
    assert "its activation stays: " + ", ".join(f"{op} '1.act/{op}'" for op in operators) in (
        norm.detail
    )


def test_a_response_norm_runs_as_primitives_because_they_are_faster():
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.LocalResponseNorm(3))

    (norm,) = take_census(model, convert(model, torch.randn(2, 3, 8, 8)), {})

    assert norm.fate == "decomposed"
    assert "faster than its LRN" in norm.detail
