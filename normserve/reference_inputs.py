"""Real inputs of a model from ``.npz`` files, for the command line. Knows no model."""

from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

__all__ = ["read_references"]


def read_references(paths: Iterable[Path]) -> list[dict[str, torch.Tensor]]:
    """One call a file: an array for each input, by its name.

    Raises:
        ValueError: a file is no ``.npz`` of plain arrays.
    """
    return [_read(path) for path in paths]


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, TypeError, AttributeError, BadZipFile) as err:
        raise ValueError(
            f"'{path}' is no .npz of plain arrays, one for each input by its name: {err}"
        ) from err
