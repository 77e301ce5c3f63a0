import onnx_ir as ir
import pytest
import torch
from torch import nn

from bundle import open_model
from exporters.convert import convert
from tests.exporters.networks import Recurrent

torch.set_num_threads(1)

LAYERS = {
    "lstm": lambda: nn.LSTM(3, 5),
    "lstm, two layers, two directions": lambda: nn.LSTM(
        3, 5, num_layers=2, bidirectional=True, batch_first=True
    ),
    "lstm without bias": lambda: nn.LSTM(3, 5, bias=False),
    "gru": lambda: nn.GRU(3, 5, batch_first=True),
    "gru, two layers, two directions": lambda: nn.GRU(3, 5, num_layers=2, bidirectional=True),
    "tanh": lambda: nn.RNN(3, 5, bidirectional=True),
    "relu": lambda: nn.RNN(3, 5, nonlinearity="relu"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_recurrent_layer_is_one_operator_a_layer_with_a_dynamic_length(kind):
    torch.manual_seed(0)
    model = Recurrent(LAYERS[kind]()).eval()
    time, rows = (1, 0) if model.layer.batch_first else (0, 1)

    converted = convert(
        model, torch.randn(4, 4, 3), dynamic_shapes={"x": {rows: "batch", time: "length"}}
    )

    operators = [node.op_type for node in converted.model.graph.all_nodes()]
    assert sum(op in {"LSTM", "GRU", "RNN"} for op in operators) == model.layer.num_layers
    assert not {"Loop", "Scan", "MatMul", "Sigmoid", "Tanh", "Slice"} & {
        op for op in operators if model.layer.num_layers == 1
    }
    opened = open_model(ir.to_proto(converted.model))
    for sizes in ((4, 4), (1, 6), (7, 2)):
        x = torch.randn(*sizes, 3)
        with torch.no_grad():
            output, state = model(x)
        expected = [output, *(state if isinstance(state, tuple) else (state,))]
        got = opened.run({"x": x.numpy()}).values()
        for mine, theirs in zip(got, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(mine), theirs, rtol=0, atol=1e-6)


def test_a_dynamic_length_exports_twice_in_one_process():
    for _ in range(2):
        converted = convert(
            Recurrent(nn.LSTM(3, 5)), torch.randn(4, 2, 3), dynamic_shapes={"x": {0: "length"}}
        )

        assert converted.model.graph.inputs[0].shape[0] == "length"


def test_a_given_initial_state_is_used():
    torch.manual_seed(0)

    class WithState(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 5)

        def forward(self, x, h):
            return self.gru(x, h)[0]

    model = WithState().eval()
    x, h = torch.randn(4, 2, 3), torch.randn(1, 2, 5)

    converted = convert(
        model, (x, h), dynamic_shapes={"x": {0: "length", 1: "batch"}, "h": {1: "batch"}}
    )

    got = open_model(ir.to_proto(converted.model)).run({"x": x.numpy(), "h": h.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(got["output"]), model(x, h), rtol=0, atol=1e-6)
