"""LSTM, GRU and RNN: everything along time comes together, the batch stays apart.

The batch is axis 1 of the input with ``layout=0`` (time first, the default) and axis 0 with
``layout=1``. A network that feeds rows where time is expected mixes them here.
"""

from collections.abc import Mapping

from bundle.checks.reach.bits import Bits
from bundle.checks.reach.step import Rule, Step

__all__ = ["RULES"]

_LENGTHS = 4
_STATES = (5, 6)


def _recurrent(step: Step) -> list[Bits]:
    """Y is (time, directions, batch, hidden), or (batch, time, directions, hidden)."""
    batch_first = bool(step.attribute("layout", 0))
    batch = 0 if batch_first else 1
    rows = step.merged(0, [axis for axis in range(3) if axis != batch]).reshape(-1)
    if step.has(_LENGTHS):
        rows = rows | step.bits(_LENGTHS)
    for position in _STATES if step.node.op_type == "LSTM" else _STATES[:1]:
        if step.has(position):
            state = step.merged(position, [axis for axis in range(3) if axis != batch])
            rows = rows | state.reshape(-1)
    rows = rows | step.all_of(1, 2, 3, 7)
    whole = rows.reshape((-1, 1, 1, 1) if batch_first else (1, 1, -1, 1))
    last = rows.reshape((-1, 1, 1) if batch_first else (1, -1, 1))
    return [whole, *(last for _ in step.node.output[1:])]


RULES: Mapping[str, Rule] = dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent)
"""By operator."""
