"""Values on the command line to the arrays that a model takes: ``name=VALUE`` or ``name=@FILE``."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bundle import Datatype

__all__ = ["parse_value", "read_inputs"]

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


def read_inputs(
    given: Iterable[str], declared: Sequence[Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """The arrays of a request.

    Args:
        given: ``name=VALUE`` each; with one input ``VALUE`` alone will do.
        declared: the inputs of the model's metadata.

    Raises:
        click.UsageError: a name is none of the model's, is missing or twice, or a value does not
            fit.
    """
    names = {spec["name"]: spec for spec in declared}
    arrays: dict[str, np.ndarray] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator and len(names) == 1:
            name, value = next(iter(names)), text
        if name not in names:
            raise click.UsageError(f"'{name}' is no input of the model; it has {', '.join(names)}.")
        if name in arrays:
            raise click.UsageError(f"input '{name}' is given twice.")
        arrays[name] = parse_value(value, names[name])
    missing = [name for name in names if name not in arrays]
    if missing:
        raise click.UsageError(f"the model also wants {', '.join(missing)} (--input NAME=VALUE).")
    return arrays


def parse_value(value: str, spec: Mapping[str, Any]) -> np.ndarray:
    """The array of one input.

    Args:
        value: JSON, or ``@`` and a file: ``.npy``, ``.json``, an image, or text (one BYTES element
            a line).
        spec: name, datatype and shape (-1 is dynamic) as the metadata has them.

    Returns:
        With a batch axis of 1 in front where the value has one axis less than the input.

    Raises:
        click.UsageError: it cannot be read, or is not of the input's datatype or rank.
    """
    datatype = Datatype(spec["datatype"])
    try:
        array = (
            _read(Path(value[1:]), spec, datatype) if value[:1] == "@" else _json(value, datatype)
        )
    except (OSError, ValueError, TypeError, OverflowError) as err:
        raise click.UsageError(f"input '{spec['name']}' ({datatype}): {err}") from err
    shape = spec["shape"]
    if array.ndim == len(shape) - 1:
        array = array[None]
    fits = array.ndim == len(shape) and all(
        wanted in (-1, size) for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise click.UsageError(
            f"input '{spec['name']}' has shape {list(array.shape)}; the model wants {list(shape)}."
        )
    return array


def _read(path: Path, spec: Mapping[str, Any], datatype: Datatype) -> np.ndarray:
    content = path.read_bytes()
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _cast(np.load(io.BytesIO(content), allow_pickle=False), datatype)
    if suffix == ".json":
        return _json(content.decode(), datatype)
    if suffix in _IMAGES:
        return _image(content, spec, datatype)
    if datatype is not Datatype.BYTES:
        raise ValueError(f"'{path}' is text, which is BYTES; give .npy, .json or an image")
    return _bytes(content.decode().splitlines())


def _json(text: str, datatype: Datatype) -> np.ndarray:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as err:
        if datatype is Datatype.BYTES:
            return _bytes([text])
        raise ValueError(f"{text!r} is no JSON and no @file: {err}") from err
    return _bytes(values) if datatype is Datatype.BYTES else _cast(np.array(values), datatype)


def _cast(array: np.ndarray, datatype: Datatype) -> np.ndarray:
    if datatype is Datatype.BYTES:
        return _bytes(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"numbers of type {array.dtype} are wanted as {datatype}")
    cast = array.astype(datatype.numpy)
    if datatype.numpy.kind in "iub" and not np.array_equal(cast, array):
        raise ValueError(f"there are numbers that {datatype} cannot hold")
    return cast


def _bytes(values: Any) -> np.ndarray:
    texts = np.array(values, dtype=object)
    encode = np.frompyfunc(lambda v: v if isinstance(v, bytes) else str(v).encode(), 1, 1)
    return np.asarray(encode(texts), dtype=object)


def _image(content: bytes, spec: Mapping[str, Any], datatype: Datatype) -> np.ndarray:
    """Channels first, floats in [0, 1] and integers in [0, 255], in the size that is wanted."""
    from PIL import Image  # only for images

    channels, height, width = spec["shape"][-3:]
    with Image.open(io.BytesIO(content)) as opened:
        if channels not in _CHANNELS:
            raise ValueError(f"an image has 1, 3 or 4 channels, and {channels} are wanted")
        image = opened.convert(_CHANNELS[channels])
    if -1 not in (height, width):
        image = image.resize((width, height))
    pixels = np.asarray(image).reshape(image.height, image.width, channels).transpose(2, 0, 1)
    if datatype.is_float:
        return (pixels / 255).astype(datatype.numpy)
    return pixels.astype(datatype.numpy)
