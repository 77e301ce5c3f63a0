"""Weight normalization in a recurrent network (Salimans & Kingma 2016, arXiv:1602.07868)."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from models import forecasting
from models.data.series import HORIZON
from models.forecasting import PPM_SCALE
from models.recipe import Batch, Supervised
from models.scene import Scene

HIDDEN = 48
SHORTEST = 24
"""Training histories have 24 to 48 months, so that the length says nothing about the season."""
LENGTHS = 25


class WeightNormForecaster(nn.Module):
    """torch's LSTM with weight-normalized matrices, and a weight-normalized head."""

    def __init__(self) -> None:
        super().__init__()
        lstm = nn.LSTM(1, HIDDEN, batch_first=True)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            weight_norm(lstm, name)
        self.lstm = lstm
        self.head = weight_norm(nn.Linear(HIDDEN, HORIZON))

    def forward(self, history: Tensor) -> Tensor:
        """Forecast a year.

        Args:
            history: (batch, months) monthly means in ppm, the latest last.

        Returns:
            The next months (batch, 12) in ppm.
        """
        last = history[:, -1:]
        states, _ = self.lstm((history - last)[:, :, None] / PPM_SCALE)
        forecast: Tensor = last + PPM_SCALE * self.head(states[:, -1])
        return forecast


def _draw(count: int, generator: torch.Generator) -> Batch:
    months = SHORTEST + int(torch.randint(LENGTHS, (), generator=generator))
    return forecasting.draw(count, generator, months=months)


SCENE = Scene(
    name="lstm_weightnorm",
    title="weight-normalized LSTM that forecasts carbon dioxide",
    normalization="WeightNorm",
    task="forecast of twelve months from any number",
    notes=forecasting.notes("torch's LSTM with 48 features, its matrices weight-normalized"),
    build=WeightNormForecaster,
    input_names=("history",),
    output_names=("forecast",),
    example_inputs=lambda: forecasting.real(start=0, items=3),
    reference_inputs=lambda: [
        forecasting.real(start=10, items=1, months=24),
        forecasting.real(start=50, items=2, months=48),
        forecasting.real(start=100, items=16, months=36),
    ],
    dynamic_shapes={"history": {0: "batch", 1: "months"}},
    test_set=forecasting.held_out,
    metric=forecasting.METRIC,
    baselines=forecasting.BASELINES,
    recipe=Supervised(
        seed=1,
        steps=1500,
        batch_size=32,
        learning_rate=1e-2,
        draw=_draw,
        loss=forecasting.loss,
    ),
)
