"""The classification extension: an output's largest values with their places, as text.

Source: https://github.com/triton-inference-server/server, in docs/protocol
extension_classification.md.
"""

import math
from collections.abc import Sequence

import numpy as np

from bundle.tensors import Datatype
from service.errors import ParameterInvalid, excerpt

__all__ = ["check_classifiable", "classify"]

_NOT_RANKED = frozenset({Datatype.BOOL, Datatype.BYTES, Datatype.FP16, Datatype.BF16})


def check_classifiable(name: str, datatype: Datatype) -> None:
    """Whether an output can be asked for as classes.

    Raises:
        ParameterInvalid: its datatype has no ranking in the extension.
    """
    if datatype in _NOT_RANKED:
        raise ParameterInvalid(
            f"output {excerpt(name)} is {datatype}, and classification is for"
            f" {', '.join(d for d in Datatype if d not in _NOT_RANKED)}"
        )


def classify(array: np.ndarray, count: int, *, labels: Sequence[str] = ()) -> np.ndarray:
    """The largest values of each row, best first.

    Args:
        array: (classes,), or (batch, *classes), whose classes are numbered in row-major order.
        count: how many, 1 or more; all where there are fewer.
        labels: of the classes in their order; may be shorter than there are classes.

    Returns:
        BYTES, (count,) or (batch, count): ``value:index`` or ``value:index:label``, the value with
        six decimals. Of equal values the first comes first; NaN comes last.
    """
    batch = 1 if array.ndim < 2 else len(array)
    rows = array.reshape(batch, array.size if array.ndim < 2 else math.prod(array.shape[1:]))
    kept = min(count, rows.shape[1])
    ranked = np.empty((len(rows), kept), dtype=object)
    for row, values in enumerate(rows):
        for place, index in enumerate(_largest(values, kept)):
            label = f":{labels[index]}" if index < len(labels) else ""
            ranked[row, place] = f"{float(values[index]):f}:{index}{label}".encode()
    return ranked[0] if array.ndim < 2 else ranked


def _largest(values: np.ndarray, count: int) -> list[int]:
    comparable = np.where(np.isnan(values), -np.inf, values) if values.dtype.kind == "f" else values
    # the reverse of the ascending order of the reverse: equal values stay in their own order
    descending = len(values) - 1 - np.argsort(comparable[::-1], kind="stable")[::-1]
    chosen: list[int] = descending[:count].tolist()
    return chosen
