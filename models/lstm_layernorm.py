"""Layer normalization inside a recurrent cell (Ba et al. 2016, arXiv:1607.06450)."""

from torch import Tensor, nn

from models import forecasting
from models.data.series import HORIZON
from models.forecasting import PPM_SCALE
from models.norms import LayerNormLSTM
from models.recipe import Supervised
from models.scene import Scene

HIDDEN = 48


class LayerNormForecaster(nn.Module):
    """A layer-normalized LSTM over the months, a linear head on its last state.

    The cell normalizes `W x`. Of a single number that would leave the sign alone, so the months are
    first turned into features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(1, HIDDEN), nn.Tanh())
        self.lstm = LayerNormLSTM(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, HORIZON)

    def forward(self, history: Tensor) -> Tensor:
        """Forecast a year.

        Args:
            history: (batch, 36) monthly means in ppm, the latest last.

        Returns:
            The next months (batch, 12) in ppm.
        """
        last = history[:, -1:]
        states = self.lstm(self.features((history - last)[:, :, None] / PPM_SCALE))
        forecast: Tensor = last + PPM_SCALE * self.head(states[:, -1])
        return forecast


SCENE = Scene(
    name="lstm_layernorm",
    title="layer-normalized LSTM that forecasts carbon dioxide",
    normalization="LayerNorm",
    task="forecast of twelve months from thirty-six",
    notes=forecasting.notes("LSTM with layer normalization in its cell, 48 features, unrolled"),
    build=LayerNormForecaster,
    input_names=("history",),
    output_names=("forecast",),
    example_inputs=lambda: forecasting.real(start=0, items=3),
    reference_inputs=lambda: [
        forecasting.real(start=10, items=1),
        forecasting.real(start=50, items=2),
        forecasting.real(start=100, items=16),
    ],
    dynamic_shapes={"history": {0: "batch"}},
    test_set=forecasting.held_out,
    metric=forecasting.METRIC,
    baselines=forecasting.BASELINES,
    recipe=Supervised(
        seed=1,
        steps=1500,
        batch_size=32,
        learning_rate=5e-3,
        draw=forecasting.draw,
        loss=forecasting.loss,
    ),
)
