import pytest
import torch
from torch import nn
from torch.nn import functional

from exporters.convert import convert, convert_subject, inspect
from exporters.errors import (
    BatchStatistics,
    RandomAtInference,
    StateChanges,
    StatisticsInvalid,
    StuckInTraining,
    WeightsInvalid,
)
from tests.exporters.networks import (
    ConvNet,
    Counter,
    DeafToEval,
    FunctionalBatchNorm,
    Inside,
    Noisy,
    trained,
)
from tests.exporters.networks import StuckInTraining as StuckNet

torch.set_num_threads(1)
PIXELS, ROWS = torch.randn(2, 3, 8, 8), torch.randn(2, 3)


def broken_statistics(buffer, value):
    model = Inside(nn.BatchNorm1d(3))
    getattr(model.body[1], buffer)[1] = value
    return model


def broken_weight():
    model = Inside(nn.Linear(3, 3))
    with torch.no_grad():
        model.body[1].weight[1, 2] = float("nan")
    return model


def never_leaves_training(layer):
    layer.train = lambda mode=True: layer
    layer.training = True
    return Inside(layer)


class RandomDepth(nn.Module):
    def forward(self, x):
        return x * torch.bernoulli(torch.full((x.shape[0], 1), 0.5))


@pytest.mark.parametrize(
    ("model", "x", "error", "layer", "said"),
    [
        (StuckNet(), PIXELS, BatchStatistics, "bn", "training mode even after model.eval()"),
        (DeafToEval(), PIXELS, BatchStatistics, "bn", "training mode even after model.eval()"),
        (
            Inside(nn.BatchNorm1d(3, track_running_stats=False)),
            ROWS,
            BatchStatistics,
            "body.1",
            "has no running statistics",
        ),
        (
            Inside(FunctionalBatchNorm()),
            ROWS,
            BatchStatistics,
            "body.1",
            "calls batch_norm with training=True",
        ),
        (Inside(Noisy()), ROWS, RandomAtInference, "body.1", "calls randn_like"),
        (Inside(RandomDepth()), ROWS, RandomAtInference, "body.1", "calls bernoulli"),
        (never_leaves_training(nn.Dropout()), ROWS, RandomAtInference, "body.1", "calls dropout"),
        (
            never_leaves_training(nn.RReLU()),
            ROWS,
            RandomAtInference,
            "body.1",
            "training mode even after",
        ),
        (
            never_leaves_training(nn.InstanceNorm2d(3, track_running_stats=True)),
            PIXELS,
            StuckInTraining,
            "body.1",
            "leaves its running statistics aside",
        ),
        (
            broken_statistics("running_mean", float("inf")),
            ROWS,
            StatisticsInvalid,
            "body.1",
            "'body.1.running_mean' is inf in channel 1",
        ),
        (
            broken_statistics("running_var", float("nan")),
            ROWS,
            StatisticsInvalid,
            "body.1",
            "'body.1.running_var' is nan in channel 1",
        ),
        (
            broken_statistics("running_var", -1.0),
            ROWS,
            StatisticsInvalid,
            "body.1",
            "'body.1.running_var' is -1 in channel 1",
        ),
        (broken_weight(), ROWS, WeightsInvalid, "body.1", "1 of 'body.1.weight'"),
        (Inside(Counter(shown=True)), ROWS, StateChanges, "body.1", "'body.1.calls'"),
    ],
)
def test_what_would_be_silently_wrong_is_refused_with_the_layers_name(model, x, error, layer, said):
    with pytest.raises(error) as caught:
        convert(model, x)

    assert caught.value.layers == (layer,)
    assert f"'{layer}" in str(caught.value)
    assert said in str(caught.value)


def test_every_layer_that_is_a_reason_is_named():
    model = nn.Sequential(*(nn.BatchNorm1d(3, track_running_stats=False) for _ in range(2)))

    with pytest.raises(BatchStatistics) as caught:
        convert(model, ROWS)

    assert caught.value.layers == ("0", "1")


def test_batch_statistics_that_are_allowed_are_exported_and_named():
    subject = inspect(StuckNet(), PIXELS)

    converted = convert_subject(subject, batch_allowed=True)

    assert converted.batch_dependent == ("bn",)
    assert not any(
        node.attributes.get_int("training_mode", 0)
        for node in converted.model.graph.all_nodes()
        if node.op_type == "BatchNormalization"
    )


def test_a_model_in_training_mode_is_exported_in_eval_mode():
    assert convert(trained(ConvNet().train()), PIXELS).batch_dependent == ()


def test_dropout_that_eval_switches_off_is_no_matter():
    assert convert(Inside(nn.Dropout(0.5)).train(), ROWS).model.graph.num_nodes() <= 1


def test_dropout_with_probability_zero_is_no_matter():
    convert(never_leaves_training(nn.Dropout(0.0)), ROWS)


def test_a_buffer_that_calls_change_and_no_output_reads_is_let_through_and_named():
    assert convert(Inside(Counter(shown=False)), ROWS).changing_buffers == ("body.1.calls",)


def test_a_batch_norm_over_a_weight_is_weight_standardization_and_no_batch():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            rows = self.weight.reshape(1, self.out_channels, -1)
            weight = functional.batch_norm(rows, None, None, training=True).reshape(
                self.weight.shape
            )
            return self._conv_forward(x, weight, self.bias)

    converted = convert(Inside(Standardized(3, 4, 3)), PIXELS)

    assert [node.op_type for node in converted.model.graph] == ["Conv"]


def test_a_batch_norm_over_one_row_of_samples_times_channels_is_an_instance_norm():
    class ByHand(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            return functional.batch_norm(
                x.reshape(1, n * c, h, w), None, None, training=True
            ).reshape(n, c, h, w)

    converted = convert(ByHand(), PIXELS)

    operators = {node.op_type for node in converted.model.graph}
    assert "InstanceNormalization" in operators
    assert not {"BatchNormalization", "ReduceMean"} & operators


def test_reading_data_of_a_buffer_is_reading_the_buffer():
    class ReadsData(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.full((3,), 2.0))

        def forward(self, x):
            return x * self.scale.data

    assert [node.op_type for node in convert(ReadsData(), ROWS).model.graph] == ["Mul"]


def test_a_train_method_that_touches_data_does_no_harm():
    class Merging(nn.Linear):
        def train(self, mode=True):
            self.weight.data = self.weight.data * (1.0 if mode else 2.0)
            return super().train(mode)

    model = Merging(3, 3)
    before = model.weight.clone()

    convert(model, ROWS)

    assert torch.equal(model.weight, before)
