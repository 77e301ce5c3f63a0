"""What a target on the command line is. Examines nothing.

A path wins over a name of the zoo. A ``model.onnx`` beside a manifest is its bundle.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
from google.protobuf.message import DecodeError

from bundle import MANIFEST, MODEL, is_version
from normserve.validate.errors import Unexaminable

__all__ = ["EVERYTHING", "DiskTarget", "NetworkTarget", "Target", "find_targets"]

_LFS_POINTER = b"version https://git-lfs"

EVERYTHING = "all"
"""The name of every network of the zoo."""


@dataclass(frozen=True, slots=True)
class DiskTarget:
    """A model on disk.

    Attributes:
        title: what it is called in every output.
        model: its ``.onnx`` file, which may be missing where there is a manifest.
        folder: its version folder; None for a bare file.
    """

    title: str
    model: Path
    folder: Path | None = None

    @property
    def has_manifest(self) -> bool:
        """Whether it is a bundle."""
        return self.folder is not None and (self.folder / MANIFEST).is_file()


@dataclass(frozen=True, slots=True)
class NetworkTarget:
    """A torch model: ``package.module:factory``, or a name of the zoo."""

    title: str


Target: TypeAlias = DiskTarget | NetworkTarget


def find_targets(text: str, *, zoo: Callable[[], tuple[str, ...]]) -> tuple[Target, ...]:
    """The models that an argument stands for: one, or every version of every model of a folder.

    Args:
        text: as it was given.
        zoo: gives the names of the zoo; asked only where nothing else fits.

    Raises:
        Unexaminable: it stands for none.
    """
    path = Path(text)
    if not _is_text(text):
        raise Unexaminable(f"the name '{text}' is no text, which ONNX Runtime does not open.")
    if path.is_dir():
        found = tuple(_in_folder(path, text.rstrip("/")))
        if not found:
            raise Unexaminable(
                f"the folder '{text}' holds no model; wanted <model>/<version>/{MODEL},"
                f" <version>/{MODEL}, or {MODEL} itself."
            )
        return found
    if path.exists():
        if path.name in (MODEL, MANIFEST) and (path.parent / MANIFEST).is_file():
            return (_version(path.parent, str(path.parent)),)
        _require_onnx(path)
        return (DiskTarget(text, path),)
    if ":" in text:
        return (NetworkTarget(text),)
    if len(path.parts) != 1 or path.suffix:
        raise Unexaminable(f"there is no file or folder '{text}'.")
    names = zoo()
    if text == EVERYTHING:
        return tuple(map(NetworkTarget, names))
    if text in names:
        return (NetworkTarget(text),)
    raise Unexaminable(
        f"there is no file or folder '{text}', and it is neither package.module:factory nor a"
        f" network of the zoo ({', '.join(names) or 'which needs normserve[export]'})."
    )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of a file system that are not UTF-8
        return False
    return True


def _in_folder(path: Path, title: str) -> Iterator[DiskTarget]:
    if _holds_model(path):
        is_folder = is_version(path.resolve().name) or (path / MANIFEST).exists()
        yield _version(path, title) if is_folder else DiskTarget(title, path / MODEL)
        return
    for folder in _versions(path):
        yield _version(folder, f"{title}/{folder.name}")
    for model in sorted(path.iterdir()):
        if model.is_dir() and not model.name.startswith(".") and not is_version(model.name):
            for folder in _versions(model):
                yield _version(folder, f"{title}/{model.name}/{folder.name}")


def _versions(path: Path) -> list[Path]:
    folders = (each for each in path.iterdir() if each.is_dir() and is_version(each.name))
    return sorted(folders, key=lambda folder: int(folder.name))


def _version(folder: Path, title: str) -> DiskTarget:
    return DiskTarget(title, folder / MODEL, folder)


def _holds_model(folder: Path) -> bool:
    return (folder / MODEL).exists() or (folder / MANIFEST).exists()


def _require_onnx(path: Path) -> None:
    """Whether a bare file is an ONNX model at all.

    Raises:
        Unexaminable: it is not, or it cannot be read.
    """
    if not path.is_file():
        raise Unexaminable(f"'{path}' is no file.")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except OSError as err:
        raise Unexaminable(f"'{path}' cannot be read: {err.strerror}.") from err
    except DecodeError as err:
        with path.open("rb") as stream:
            if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise Unexaminable(
                    f"'{path}' is a pointer of Git LFS and not the file; run `git lfs pull`."
                ) from err
        raise Unexaminable(f"'{path}' is no ONNX model, or the file is not whole: {err}.") from err
    if not model.HasField("graph"):
        raise Unexaminable(f"'{path}' is no ONNX model: it holds no graph.")
