"""A repository of links: what is to be served, and nothing else.

The server then loads no other model of the same repository, and whatever it writes beside its
models is gone with the folder.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf import text_format

from bundle import MODEL, is_version

__all__ = ["Staged", "stage"]

_CONFIG = "config.pbtxt"


@dataclass(frozen=True, slots=True)
class Staged:
    """A model version that is to be served.

    Attributes:
        source: its version folder, or a bare ``.onnx`` file.
        name: of the model, as requests have it.
        version: as requests have it.
    """

    source: Path
    name: str
    version: int

    @property
    def folder(self) -> Path:
        """Its version folder below the repository."""
        return Path(self.name, str(self.version))

    @classmethod
    def of(cls, source: Path) -> "Staged":
        """A version folder by its parent's name and its own; anything else by its own name."""
        source = source.resolve()
        if source.is_dir() and is_version(source.name):
            return cls(source, source.parent.name, int(source.name))
        return cls(source, re.sub(r"[^A-Za-z0-9_-]", "_", source.stem), 1)


@contextmanager
def stage(models: Iterable[Staged]) -> Iterator[Path]:
    """A temporary repository of some models, as long as the block runs.

    Raises:
        FileExistsError: two of them have the same name and version.
    """
    with tempfile.TemporaryDirectory(prefix="normserve-served-") as name:
        repository = Path(name)
        for model in models:
            version = repository / model.folder
            home = version.parent
            home.mkdir(exist_ok=True)
            if model.source.is_dir():
                version.symlink_to(model.source, target_is_directory=True)
                config = model.source.parent / _CONFIG
                if config.is_file() and not (home / _CONFIG).exists():
                    _place_config(config, home / _CONFIG)
            else:
                version.mkdir()
                _place_file(model.source, version)
        yield repository


def _place_config(source: Path, target: Path) -> None:
    """A configuration without what is not staged: other versions, and files of labels.

    One that cannot be read is put there as it is: the server says what is wrong with it.
    """
    from service.errors import LoadFailed
    from service.model_config import read_config

    try:
        config = read_config(source.read_text(encoding="utf-8"))
    except (LoadFailed, UnicodeDecodeError):
        target.symlink_to(source)
        return
    config.ClearField("version_policy")
    for output in config.output:
        output.ClearField("label_filename")
    target.write_text(text_format.MessageToString(config), encoding="utf-8")


def _place_file(source: Path, folder: Path) -> None:
    """Put a bare file into a version folder, and its data, which may not be links to elsewhere."""
    _place(source, folder / MODEL)
    model = onnx.load_model(source, load_external_data=False)
    locations = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    for location in locations:
        _place(source.parent / location, folder / location)


def _place(source: Path, target: Path) -> None:
    """The same file under another name; a copy where it is on another device."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
