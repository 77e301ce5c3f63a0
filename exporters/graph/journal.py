"""Record which node of the graph became part of which other. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rule = Literal[
    "fold_behind",
    "fold_in_front",
    "collapse",
    "layer_norm",
    "rms_norm",
    "instance_norm",
    "duplicate",
]
"""How a node went away.

- ``fold_behind``: its arithmetic is in the weights of a node before it.
- ``fold_in_front``: its arithmetic is in the weights of the nodes that read it.
- ``collapse``: it and its neighbours became one BatchNormalization.
- ``layer_norm``, ``rms_norm``, ``instance_norm``: primitives became one normalization.
- ``duplicate``: it computed what another node computes already.
"""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One node that the passes took out of the graph, and where its work is done now.

    Attributes:
        rule: Why it went.
        node: The name that the removed node had.
        value: The name of the value it produced. The value that carries the same numbers now has
            that name still, where there is one: there is none for a node folded in front, for the
            first of two nodes in a row, and for a carrier that was removed in its turn (a
            Transpose that met its inverse).
        into: The names of the nodes that do its work now, in the order of the graph.
    """

    rule: Rule
    node: str
    value: str
    into: tuple[str, ...]
