import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from exporters.convert import convert, inspect
from exporters.finish import finish
from exporters.layer_errors import measure_layers


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 4, 1),
    )
    for norm in (model[1], model[5]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    return model.eval()


def measured(model, change=None):
    example = torch.randn(2, 3, 6, 6)
    subject = inspect(model, example)
    converted = convert(model, example)
    proto = finish(converted, name="test", lower_group_norm=False)
    if change is not None:
        change(proto)
    return measure_layers(
        proto,
        ["1", "3", "5"],
        leaving=converted.leaving,
        reference=subject.wide,
        eager=subject.eager,
        call=subject.call,
        calls=[subject.example],
    )


def test_a_folded_and_a_kept_layer_have_the_error_of_their_own_output():
    errors = measured(network())
    assert errors["1"].error < errors["1"].tolerance.atol < 1e-4
    assert errors["3"].error < errors["3"].tolerance.atol < 1e-4


def test_a_layer_that_went_into_the_node_behind_it_has_no_output_to_measure():
    assert "5" not in measured(network())


def test_a_wrong_fold_is_named_where_it_happened():
    def spoil(proto: onnx.ModelProto):
        node = next(n for n in proto.graph.node if n.op_type == "Conv")
        for tensor in proto.graph.initializer:
            if tensor.name == node.input[1]:
                wrong = numpy_helper.to_array(tensor) * 1.5
                tensor.CopyFrom(numpy_helper.from_array(wrong, tensor.name))

    assert measured(network(), spoil)["1"].error > 0.1


def test_the_model_is_left_without_hooks():
    model = network()
    measured(model)
    assert not model[1]._forward_hooks  # noqa: SLF001 - torch has no public list of hooks


def test_an_activation_in_place_behind_a_layer_does_not_count_as_its_output():
    model = network()
    model[2] = nn.ReLU(inplace=True)

    errors = measured(model)

    assert errors["1"].error <= errors["1"].tolerance.atol


class Jump(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.register_buffer("edge", torch.full((1, 3), 0.5))

    def forward(self, x):
        return self.norm(x + torch.where(x > self.edge, 1.0, -1.0) * torch.arange(3.0))


def test_a_jump_before_a_layer_is_not_its_error_where_another_input_shows_none():
    near, far = torch.full((2, 3), 0.5000003), torch.rand(2, 3)
    subject, converted = inspect(Jump(), far), convert(Jump(), far)
    proto = finish(converted, name="test", lower_group_norm=False)
    (edge,) = (tensor for tensor in proto.graph.initializer if tensor.name == "edge")
    # as if rounding went over the edge: it is a little later in the file than in torch
    edge.CopyFrom(numpy_helper.from_array(np.full((1, 3), 0.500001, np.float32), "edge"))

    def norm(*calls):
        return measure_layers(
            proto,
            ["norm"],
            leaving=converted.leaving,
            reference=subject.wide,
            eager=subject.eager,
            call=subject.call,
            calls=[(tensors,) for tensors in calls],
        )["norm"]

    assert norm(near).excess > 1000
    assert norm(near, far) == norm(far)
    assert norm(far).excess < 1
