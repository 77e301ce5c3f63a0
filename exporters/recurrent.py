"""LSTM, GRU and RNN as one ONNX operator a layer. Not for: other recurrent networks.

torch.export unrolls a recurrent layer into one copy of the cell for each step of the example, which
bakes the length in; the loop that torch.onnx traces instead is one operator a cell and step. While
`recurrent_operators` is active, each layer is traced as one opaque operator with the interface of
ONNX's own, which `TRANSLATIONS` then emits.

ONNX stacks the gates of an LSTM as input, output, forget, cell and those of a GRU as update, reset,
new; torch as input, forget, cell, output and reset, update, new.
Source: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset18 as op
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["TRANSLATIONS", "recurrent_operators"]

_CELLS = {torch.lstm: "lstm", torch.gru: "gru", torch.rnn_tanh: "tanh", torch.rnn_relu: "relu"}
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "tanh": (0,), "relu": (0,)}

# x: (length, batch, features); w: (directions, gates * hidden, features); r: the same with hidden;
# b: (directions, 2 * gates * hidden); h, c: (directions, batch, hidden). Only ever traced, so that
# there is no kernel behind them. The first result is (length, directions, batch, hidden).
torch.library.define(
    "normserve::lstm",
    "(Tensor x, Tensor w, Tensor r, Tensor? b, Tensor h, Tensor c) -> (Tensor, Tensor, Tensor)",
)
torch.library.define(
    "normserve::rnn",
    "(Tensor x, Tensor w, Tensor r, Tensor? b, Tensor h, str cell) -> (Tensor, Tensor)",
)


@torch.library.register_fake("normserve::lstm")  # type: ignore[untyped-decorator]  # torch's
def _lstm_shapes(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    h: Tensor,
    c: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return _sequence(x, h), torch.empty_like(h), torch.empty_like(c)


@torch.library.register_fake("normserve::rnn")  # type: ignore[untyped-decorator]  # torch's
def _rnn_shapes(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    h: Tensor,
    cell: str,
) -> tuple[Tensor, Tensor]:
    return _sequence(x, h), torch.empty_like(h)


class _RecurrentOperators(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        cell = _CELLS.get(func)
        if cell is None or kwargs or not _has_operator(cell, args):
            return func(*args, **(kwargs or {}))
        return _layers(cell, *args)


def recurrent_operators() -> TorchFunctionMode:
    """A context in which recurrent layers are traced as operators of their own.

    Packed sequences and LSTMs with a projection, which ONNX has not, are left to torch.
    """
    return _RecurrentOperators()


def _has_operator(cell: str, args: Sequence[Any]) -> bool:
    is_packed = not isinstance(args[2], list | tuple)  # (data, batch_sizes, …)
    if is_packed:
        return False
    return cell != "lstm" or bool(args[1][0].shape[2] == args[1][1].shape[2])


def _layers(
    cell: str,
    sequence: Tensor,
    state: Tensor | Sequence[Tensor],
    parameters: Sequence[Tensor],
    has_biases: bool,  # noqa: FBT001
    layers: int,
    dropout: float,
    train: bool,  # noqa: FBT001
    bidirectional: bool,  # noqa: FBT001
    batch_first: bool,  # noqa: FBT001
) -> tuple[Tensor, ...]:
    states = (state,) if isinstance(state, Tensor) else tuple(state)
    directions = 2 if bidirectional else 1
    each = 4 if has_biases else 2
    x = sequence.transpose(0, 1) if batch_first else sequence
    finals: list[tuple[Tensor, ...]] = []
    for layer in range(layers):
        if layer and train and dropout:
            x = F.dropout(x, dropout, training=True)
        rows = slice(layer * directions, (layer + 1) * directions)
        weights = [
            parameters[(layer * directions + direction) * each :][:each]
            for direction in range(directions)
        ]
        w = torch.stack([_reorder(direction[0], cell) for direction in weights])
        r = torch.stack([_reorder(direction[1], cell) for direction in weights])
        b = None
        if has_biases:
            b = torch.stack(
                [torch.cat([_reorder(bias, cell) for bias in dir_[2:]]) for dir_ in weights]
            )
        initial = [s[rows] for s in states]
        if cell == "lstm":
            y, *final = torch.ops.normserve.lstm(x, w, r, b, *initial)
        else:
            y, *final = torch.ops.normserve.rnn(x, w, r, b, *initial, cell)
        finals.append(tuple(final))
        x = y.transpose(1, 2).flatten(2) if bidirectional else y.squeeze(1)
    output = x.transpose(0, 1) if batch_first else x
    return (output, *(torch.cat(layers_) for layers_ in zip(*finals, strict=True)))


def _reorder(stacked: Tensor, cell: str) -> Tensor:
    """Torch's gates (along axis 0) in ONNX's order."""
    size = stacked.shape[0] // len(_GATES[cell])
    return torch.cat([stacked[gate * size : (gate + 1) * size] for gate in _GATES[cell]])


def _sequence(x: Tensor, h: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], h.shape[0], h.shape[1], h.shape[2])


def _emit_lstm(x: Any, w: Any, r: Any, b: Any, h: Any, c: Any) -> Any:
    return op.LSTM(x, w, r, b, None, h, c, direction=_direction(h), hidden_size=h.shape[2])


def _emit_rnn(x: Any, w: Any, r: Any, b: Any, h: Any, cell: str) -> Any:
    direction = _direction(h)
    if cell == "gru":
        # torch applies the reset gate after the recurrent product
        return op.GRU(
            x, w, r, b, None, h,
            direction=direction, hidden_size=h.shape[2], linear_before_reset=1,
        )  # fmt: skip
    activations = [cell.capitalize()] * h.shape[0]
    return op.RNN(
        x, w, r, b, None, h,
        direction=direction, hidden_size=h.shape[2], activations=activations,
    )  # fmt: skip


def _direction(h: Any) -> str:
    return "bidirectional" if h.shape[0] == 2 else "forward"


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.normserve.lstm.default: _emit_lstm,
    torch.ops.normserve.rnn.default: _emit_rnn,
}
"""For ``torch.onnx.export(custom_translation_table=…)``."""
