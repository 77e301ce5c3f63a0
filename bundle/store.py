"""Bundles on disk: written whole or not at all, read with every digest verified.

::

    <repository>/<model>/config.pbtxt
    <repository>/<model>/<version>/model.onnx [model.onnx.data]  manifest.json  test_data_set_N/
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from pydantic import ValidationError

from bundle.errors import BundleExists, DigestMismatch, ManifestInvalid
from bundle.golden import Sample, encode_samples
from bundle.manifest import Manifest
from bundle.triton import model_config

__all__ = [
    "MANIFEST",
    "MODEL",
    "Bundle",
    "VersionFolder",
    "find_versions",
    "is_version",
    "model_versions",
    "put_in_place",
    "read_bundle",
    "write_atomically",
    "write_bundle",
]

MODEL = "model.onnx"
MANIFEST = "manifest.json"
_CONFIG = "config.pbtxt"
_TEMPORARY = ".tmp-"
_INLINE_BYTES = 1 << 30
"""Weights beyond this go to ``model.onnx.data``: protobuf cannot hold 2 GiB."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read or written: its version folder and what it says of itself."""

    path: Path
    manifest: Manifest

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """A version of a model in a repository, not yet read."""

    name: str
    version: int
    path: Path

    @property
    def has_manifest(self) -> bool:
        """Whether it is a bundle; otherwise it is a plain Triton folder."""
        return (self.path / MANIFEST).is_file()


def find_versions(repository: Path) -> tuple[VersionFolder, ...]:
    """Every ``<model>/<version>/`` that holds a model or a manifest, by name, then number.

    Hidden and temporary folders, and folders whose name is no positive integer, are left out.
    """
    models = sorted(repository.iterdir(), key=lambda model: model.name)
    return tuple(
        version
        for model in models
        if model.is_dir() and not model.name.startswith(".")
        for version in model_versions(model)
    )


def model_versions(model: Path) -> tuple[VersionFolder, ...]:
    """Those of one model's folder, by number."""
    found = [
        VersionFolder(model.name, int(folder.name), folder)
        for folder in model.iterdir()
        if folder.is_dir() and is_version(folder.name)
        if (folder / MODEL).exists() or (folder / MANIFEST).exists()
    ]
    return tuple(sorted(found, key=lambda folder: folder.version))


def read_bundle(path: Path) -> Bundle:
    """Read a version folder and verify that every file is the one that was written.

    Raises:
        ManifestInvalid: there is no manifest, it does not parse, it is of another schema version,
            or it is for another name or version than the folder's.
        DigestMismatch: a file is missing, was changed, or is not named by the manifest.
    """
    manifest = _read_manifest(path / MANIFEST)
    folder = (path.parent.name, path.name)
    if folder != (manifest.name, str(manifest.version)):
        raise ManifestInvalid(
            f"'{path / MANIFEST}' is for '{manifest.name}' version {manifest.version};"
            f" it lies in the folder of '{folder[0]}' version {folder[1]}."
        )
    _verify(path, manifest.files)
    return Bundle(path=path, manifest=manifest)


def write_bundle(
    repository: Path,
    *,
    model: onnx.ModelProto,
    manifest: Manifest,
    samples: Iterable[Sample],
    extra_files: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle into a repository, atomically.

    All is written to a temporary folder beside the version folder, which is renamed last: a
    failure leaves what stood there as it was. The model gets a ``config.pbtxt``, unless it has one
    that somebody has changed.

    Args:
        repository: the folder of all models; made if it is not there.
        model: with its weights inside.
        manifest: ``files`` is filled in here.
        samples: golden samples.
        extra_files: more files of the version folder, path → content (a report …).
        overwrite: put it in the place of the same version if that exists.

    Returns:
        The bundle as it lies on disk, with the digests of its files.

    Raises:
        BundleExists: the version exists and ``overwrite`` is not set.
        SamplesInvalid: a sample lacks one of the model's tensors.
    """
    home = repository / manifest.name
    target = home / str(manifest.version)
    if target.exists() and not overwrite:
        raise BundleExists(
            f"'{target}' exists; export another version, or say that it is to be replaced."
        )
    files = dict(extra_files or {}) | encode_samples(samples, manifest.inputs, manifest.outputs)
    is_new = not home.exists()
    home.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=home))
    try:
        staging.chmod(0o755)
        _save_model(model, staging / MODEL)
        for name, content in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(content)
        complete = manifest.model_copy(update={"files": _digests(staging)})
        (staging / MANIFEST).write_text(complete.model_dump_json(indent=1) + "\n")
        if _is_generated(home):
            write_atomically(home / _CONFIG, model_config(complete))
        put_in_place(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new:
            shutil.rmtree(home, ignore_errors=True)
        raise
    return Bundle(path=target, manifest=complete)


def _save_model(model: onnx.ModelProto, path: Path) -> None:
    if model.ByteSize() <= _INLINE_BYTES:
        path.write_bytes(model.SerializeToString(deterministic=True))
        return
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{MODEL}.data",
    )


def put_in_place(staging: Path, target: Path) -> None:
    """Rename a folder to the target, beside it; what stood there goes only after that."""
    if not target.exists():
        staging.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent)) / target.name
    target.rename(old)
    try:
        staging.rename(target)
    except OSError:
        old.rename(target)
        raise
    finally:
        shutil.rmtree(old.parent)


def _is_generated(home: Path) -> bool:
    """Whether a model has no configuration but what was written here for one of its versions."""
    path = home / _CONFIG
    if not path.exists():
        return True
    written = path.read_bytes()
    for version in model_versions(home):
        try:
            manifest = _read_manifest(version.path / MANIFEST)
        except ManifestInvalid:
            continue
        if model_config(manifest).encode() == written:
            return True
    return False


def write_atomically(path: Path, text: str) -> None:
    """Write a file of a model's folder, so that a reader sees all of it or what was there.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix=_TEMPORARY, dir=path.parent, delete=False
    ) as stream:
        stream.write(text)
    temporary = Path(stream.name)
    temporary.chmod(0o644)
    temporary.replace(path)


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as err:
        raise ManifestInvalid(f"'{path}' cannot be read: {err.strerror}.") from err
    except ValidationError as err:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg']}"
            for problem in err.errors()[:3]
        )
        raise ManifestInvalid(f"'{path}' is no manifest of schema version 1: {problems}.") from err


def _verify(folder: Path, wanted: Mapping[str, str]) -> None:
    got = _digests(folder)
    for name, digest in wanted.items():
        if name not in got:
            raise DigestMismatch(f"'{folder / name}' is missing; the manifest names it.")
        if got[name] != digest:
            raise DigestMismatch(
                f"'{folder / name}' was changed: its SHA-256 is {got[name][:12]}…,"
                f" the manifest was written for {digest[:12]}…."
            )
    if MODEL not in wanted:
        raise DigestMismatch(f"the manifest in '{folder}' names no {MODEL}.")
    for name in got.keys() - wanted.keys():
        if not name.startswith(".") and name.split("/")[0].startswith(("model", "test_data_set")):
            raise DigestMismatch(f"'{folder / name}' is not named by the manifest.")


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in paths
        if path != folder / MANIFEST
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_version(name: str) -> bool:
    """Whether a folder's name is the number of a version."""
    return name.isascii() and name.isdecimal() and not name.startswith("0")
