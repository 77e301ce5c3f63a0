"""The copy of a store's models on this machine: each version whole and verified, or as it was.

Knows no policy and no plans. A version is fetched to a folder of its own, held against the digests
of its manifest, and renamed last; what has not changed is not fetched again.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

import structlog

from bundle import MANIFEST, BundleError, put_in_place, read_bundle
from service.errors import RepositoryMissing
from service.repository.stamps import file_stamps
from service.repository.store import Store, StoreFile

__all__ = ["Mirror", "NotMirrored"]

_MARKS: Final = ".fetched.json"
_TEMPORARY: Final = ".tmp-"
_LOCK: Final = ".lock"
_AT_ONCE: Final = 8
_MOST_TEXT_BYTES: Final = 2**20
_TELL_EVERY_S: Final = 10.0

_log = structlog.stdlib.get_logger(__name__)


class NotMirrored(Exception):
    """What the store has of a version cannot be served; the message says why."""


class Mirror:
    """Copies of models.

    Args:
        folder: for them; nobody else's.
        max_bytes: that all of it may take.

    Attributes:
        folder: the same; a model repository.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Take the folder, and remove what an earlier process left unfinished there.

        Raises:
            RepositoryMissing: it cannot be written, or another server has it.
        """
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.folder / _LOCK).open("w")
        except OSError as err:
            raise RepositoryMissing(
                f"the copies of a repository cannot be kept in '{self.folder}': {err.strerror};"
                " give another folder as NORMSERVE_REPOSITORY_CACHE"
            ) from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            lock.close()
            raise RepositoryMissing(
                f"another server keeps its copies in '{self.folder}'; give this one another folder"
                " as NORMSERVE_REPOSITORY_CACHE"
            ) from err
        self._lock = lock
        for pattern in (f"{_TEMPORARY}*", f"*/{_TEMPORARY}*"):
            for left in self.folder.glob(pattern):
                shutil.rmtree(left, ignore_errors=True)

    def close(self) -> None:
        """Leave the folder to others."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def take_texts(self, store: Store, model: str, files: Mapping[str, StoreFile]) -> None:
        """Make the files straight in a model's folder, its configuration and labels, the store's.

        Args:
            store: that has them.
            model: its name.
            files: by name.

        Raises:
            NotMirrored: one is larger than any such file is.
            OSError: they cannot be fetched or written.
        """
        home = self.folder / model
        known = _read_marks(home)
        for name, file in files.items():
            if file.size is None or file.size > _MOST_TEXT_BYTES:
                raise NotMirrored(
                    f"'{model}/{name}' has {_bytes(file.size)}; a configuration or labels may have"
                    f" {_MOST_TEXT_BYTES}"
                )
        for name, file in files.items():
            if known.get(name) != file.mark or not (home / name).is_file():
                with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self.folder) as staging:
                    fetched = Path(staging, name)
                    store.fetch(file, fetched, told=_nobody)
                    fetched.replace(home / name)
        for path in home.iterdir():
            if path.is_file() and path.name not in files and path.name != _MARKS:
                path.unlink()
        _write_marks(home, files)

    def take_version(
        self, store: Store, model: str, version: int, files: Mapping[str, StoreFile]
    ) -> None:
        """Make a version the store's; a failure leaves the copy that there was.

        Args:
            store: that has it.
            model: its name.
            version: its number.
            files: by their paths below the version's folder.

        Raises:
            NotMirrored: it is too large, or not what its manifest says.
            OSError: it cannot be fetched or written.
        """
        target = self.folder / model / str(version)
        known = _read_marks(target)
        if known == {path: file.mark for path, file in files.items()}:
            return
        size = self._check_size(files)
        begun = time.monotonic()
        log = _log.bind(model=model, version=version, files=len(files), bytes=size)
        log.info("fetching")
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self.folder) as temporary:
            staging = Path(temporary, model, str(version))
            told = _Progress(model, version, size)

            def take(path: str) -> None:
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                if known.get(path) == files[path].mark and (target / path).is_file():
                    os.link(target / path, staging / path)
                else:
                    store.fetch(files[path], staging / path, told=told)

            with ThreadPoolExecutor(_AT_ONCE) as executor:
                list(executor.map(take, files))
            if MANIFEST in files:
                try:
                    read_bundle(staging)
                except BundleError as err:
                    said = str(err).replace(f"{temporary}/", "").rstrip(".")
                    raise NotMirrored(said) from err
            _write_marks(staging, files)
            put_in_place(staging, target)
        log.info("fetched", seconds=round(time.monotonic() - begun, 1))

    def remove(self, model: str, version: int | None = None) -> None:
        """Remove the copy of a version, or of a whole model."""
        home = self.folder / model
        shutil.rmtree(home if version is None else home / str(version), ignore_errors=True)

    def _check_size(self, files: Mapping[str, StoreFile]) -> int:
        sizes = [file.size for file in files.values()]
        unknown = [path for path, file in files.items() if file.size is None]
        if unknown:
            raise NotMirrored(f"the store does not say how large '{unknown[0]}' is")
        size = sum(filter(None, sizes))
        taken = sum(stamp[2] for stamp in file_stamps(self.folder))
        if taken + size > self._max_bytes:
            raise NotMirrored(
                f"it has {size} bytes, and the copies of other versions {taken}; together they may"
                f" have {self._max_bytes} (NORMSERVE_REPOSITORY_MAX_BYTES)"
            )
        return size


class _Progress:
    """Tells the log, now and then, how much of a version is there."""

    def __init__(self, model: str, version: int, size: int) -> None:
        self._log = _log.bind(model=model, version=version, bytes=size)
        self._done = 0
        self._told = time.monotonic()

    def __call__(self, size: int) -> None:
        self._done += size
        if time.monotonic() - self._told > _TELL_EVERY_S:
            self._told = time.monotonic()
            self._log.info("fetching", done=self._done)


def _nobody(size: int) -> None:
    """Tell nobody."""


def _bytes(size: int | None) -> str:
    return "an unknown size" if size is None else f"{size} bytes"


def _read_marks(folder: Path) -> dict[str, str]:
    """What the files of a copy were marked with in the store; nothing where that is not known."""
    try:
        marks = json.loads((folder / _MARKS).read_text())
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}


def _write_marks(folder: Path, files: Mapping[str, StoreFile]) -> None:
    """Remember them; whole, or as they were."""
    marks = {path: file.mark for path, file in files.items()}
    temporary = folder / f"{_TEMPORARY}{_MARKS}"
    temporary.write_text(json.dumps(marks))
    temporary.replace(folder / _MARKS)
