"""What is to be diagnosed, and on which inputs. Diagnoses nothing."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
from google.protobuf.message import DecodeError

from bundle import (
    MANIFEST,
    Bundle,
    ModelInvalid,
    SamplesInvalid,
    find_versions,
    open_model,
    read_bundle,
    read_samples,
)
from bundle.checks import Subject
from bundle.checks.parity import feeds_of

__all__ = ["Target", "feeds_for", "target_of"]

_SAMPLES = "test_data_set_"


@dataclass(frozen=True, slots=True)
class Target:
    """A model to be diagnosed.

    Attributes:
        title: what it is called.
        model: with its weights inside.
        bundle: that it is of, None for a plain file.
    """

    title: str
    model: onnx.ModelProto
    bundle: Bundle | None


def target_of(path: Path) -> Target:
    """A ``.onnx`` file, a bundle's version folder, or its model folder (the latest version).

    Raises:
        BundleError: it cannot be read.
        click.UsageError: it is none of these.
    """
    if path.is_file():
        is_of_bundle = (path.parent / MANIFEST).is_file() and path.name == "model.onnx"
        return Target(str(path), _load(path), read_bundle(path.parent) if is_of_bundle else None)
    folder = path.resolve()
    if not (folder / MANIFEST).is_file():
        versions = [v for v in find_versions(folder.parent) if v.path.parent == folder]
        if not versions or not versions[-1].has_manifest:
            raise click.UsageError(
                f"'{path}' is no .onnx file, no bundle (MODEL/VERSION) and no model's folder with"
                " one."
            )
        folder = versions[-1].path
    bundle = read_bundle(folder)
    title = f"{bundle.manifest.name} version {bundle.manifest.version}"
    return Target(title, _load(bundle.model_path), bundle)


def feeds_for(target: Target, given: Path | None) -> Mapping[str, np.ndarray]:
    """Inputs for a target: those that were given, its first golden sample, else random ones.

    Args:
        target: the model.
        given: an ``.npz`` file by the inputs' names, or a folder in ONNX's layout of test data
            (``test_data_set_0/input_0.pb`` …, or such a folder's parent).

    Raises:
        BundleError: the inputs cannot be read, or none was found that the model can compute.
    """
    subject = Subject(model=target.model)
    if given is not None:
        return _read(given, target.model)
    if target.bundle is not None:
        subject = Subject.of_bundle(target.bundle)
    return feeds_of(subject, subject.open())[0]


def _load(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model(path)
    except (OSError, DecodeError, ValueError, onnx.checker.ValidationError) as err:
        raise ModelInvalid(f"'{path}' cannot be read whole: {err}") from err


def _read(path: Path, model: onnx.ModelProto) -> Mapping[str, np.ndarray]:
    if path.is_dir():
        folder = path.parent if path.name.startswith(_SAMPLES) else path
        samples = read_samples(folder, open_model(model).inputs, ())
        if not samples:
            raise SamplesInvalid(f"'{path}' holds no {_SAMPLES}0/input_0.pb.")
        return samples[0].inputs
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as err:
        raise SamplesInvalid(f"'{path}' is no .npz file of named arrays: {err}") from err
