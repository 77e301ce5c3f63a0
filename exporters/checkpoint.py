"""Load weights into a module, and nothing else: a checkpoint is data, never code.

Reads safetensors and what ``torch.load(weights_only=True)`` reads. Not for: making the module.
"""

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from exporters.errors import CheckpointInvalid, first_line

__all__ = ["load_checkpoint"]

_TORCH_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt"})
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_SHOWN = 5
_UNSAFE = re.compile(r"GLOBAL ([\w.]+)|(?:operand|opcode|instruction)s? (\d+)", re.IGNORECASE)
"""What torch names of what it did not want to load."""


def load_checkpoint(module: nn.Module, path: Path) -> str:
    """Load a checkpoint into a module, every tensor of the one into every tensor of the other.

    Args:
        module: changed in place, and only if everything fits.
        path: ``.safetensors``, or a torch file (``.pt``, ``.pth``, ``.bin``, ``.ckpt``) of tensors.

    Returns:
        The file's SHA-256, in hex.

    Raises:
        CheckpointInvalid: the file is missing, unreadable, of another kind, would need more than
            tensors to load, or its keys or shapes are not the module's.
    """
    if not path.is_file():
        raise CheckpointInvalid(f"there is no checkpoint file '{path}'.")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    _require_fit(module, state, path)
    module.load_state_dict(state, strict=True)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as err:
        raise CheckpointInvalid(f"'{path}' is no safetensors file: {first_line(err)}.") from err


def _read_torch(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix not in _TORCH_SUFFIXES:
        raise CheckpointInvalid(
            f"'{path}' is neither .safetensors nor a torch file"
            f" ({', '.join(sorted(_TORCH_SUFFIXES))}); save the weights with"
            " safetensors.torch.save_file(model.state_dict(), …)."
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise CheckpointInvalid(
            f"'{path}' holds more than tensors, and loading it could run code"
            f" ({_unsafe_part(err)}); save the state_dict alone, best as .safetensors."
        ) from err
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as err:
        raise CheckpointInvalid(f"'{path}' is no torch checkpoint: {first_line(err)}.") from err
    state = _unwrap(loaded)
    if state is None:
        raise CheckpointInvalid(
            f"'{path}' holds a {type(loaded).__name__}; a checkpoint is a state_dict: names and"
            f" tensors, alone or under one of {', '.join(map(repr, _WRAPPERS))}."
        )
    return state


def _unwrap(loaded: object) -> dict[str, torch.Tensor] | None:
    if not isinstance(loaded, Mapping):
        return None
    for key in _WRAPPERS:
        if isinstance(loaded.get(key), Mapping):
            return _unwrap(loaded[key])
    are_tensors = all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in loaded.items()
    )
    return dict(loaded) if loaded and are_tensors else None


def _unsafe_part(error: Exception) -> str:
    """What torch did not want to load; not its advice, which is to load it all the same."""
    named = _UNSAFE.search(str(error))
    if named is None:
        return type(error).__name__
    return named[1] or f"pickle's instruction {named[2]}"


def _require_fit(module: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    wanted = module.state_dict()
    problems = [
        (f"missing {_some(wanted.keys() - state.keys())}", wanted.keys() - state.keys()),
        (f"unexpected {_some(state.keys() - wanted.keys())}", state.keys() - wanted.keys()),
    ]
    mismatched = {
        f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}"
        for key in state.keys() & wanted.keys()
        if isinstance(wanted[key], torch.Tensor) and state[key].shape != wanted[key].shape
    }
    problems.append((f"of another shape {_some(mismatched)}", mismatched))
    strange = {
        f"{key} {_kind(state[key])} for {_kind(wanted[key])}"
        for key in state.keys() & wanted.keys()
        if isinstance(wanted[key], torch.Tensor) and _kind(state[key]) != _kind(wanted[key])
    }
    problems.append((f"of another kind {_some(strange)}", strange))
    said = [text for text, keys in problems if keys]
    if said:
        raise CheckpointInvalid(
            f"'{path}' does not fit {type(module).__name__}: {'; '.join(said)}. It has to have all"
            " of the model's tensors and no others."
        )


def _kind(tensor: torch.Tensor) -> str:
    """What must be the same, or values would be lost; floats of any width are one kind."""
    dtype = "float" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return f"{dtype} without data"
    return dtype if tensor.layout is torch.strided else f"sparse {dtype}"


def _some(keys: "set[str]") -> str:
    names = sorted(keys)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
