"""An LSTM that normalizes inside its cell."""

import torch
from torch import Tensor, nn

GATES = 4


class LayerNormLSTMCell(nn.Module):
    """One step of an LSTM with layer normalization.

    Ba et al. 2016 (arXiv:1607.06450), equations 20 to 22: the two products, of the input and of the
    hidden state, are normalized each by itself before they are added; the cell state is normalized
    before it leaves. The forget gate begins open (Jozefowicz et al. 2015).
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.input = nn.Linear(input_size, GATES * hidden_size, bias=False)
        self.hidden = nn.Linear(hidden_size, GATES * hidden_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(GATES * hidden_size))
        self.input_norm = nn.LayerNorm(GATES * hidden_size)
        self.hidden_norm = nn.LayerNorm(GATES * hidden_size)
        self.cell_norm = nn.LayerNorm(hidden_size)
        nn.init.ones_(self.bias[:hidden_size].detach())

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step.

        Args:
            x: (batch, input_size).
            hidden: (batch, hidden_size).
            cell: (batch, hidden_size).

        Returns:
            The next hidden state and the next cell state.
        """
        gates = self.hidden_norm(self.hidden(hidden)) + self.input_norm(self.input(x)) + self.bias
        forget, enter, leave, candidate = gates.chunk(GATES, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(leave) * torch.tanh(self.cell_norm(cell)), cell


class LayerNormLSTM(nn.Module):
    """A layer of `LayerNormLSTMCell`, run over a sequence of fixed length."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = LayerNormLSTMCell(input_size, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, length, input_size) into the hidden states (batch, length, hidden_size)."""
        hidden = x.new_zeros(x.shape[0], self.cell.hidden_size)
        cell = hidden
        states = []
        for step in x.unbind(dim=1):
            hidden, cell = self.cell(step, hidden, cell)
            states.append(hidden)
        return torch.stack(states, dim=1)
