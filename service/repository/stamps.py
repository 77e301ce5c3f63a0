"""What changes when a file does. Reads no model.

A file that is written or replaced gets another time, size or inode, also on a network's drive,
where nothing tells of changes.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FileStamps", "file_stamps", "text_digest"]

FileStamps = frozenset[tuple[str, int, int, int]]
"""Path below the folder, inode, bytes, nanoseconds of the last write; of each file."""

_MOST_TEXT_BYTES = 1 << 20


def file_stamps(folder: Path) -> FileStamps:
    """Those of every file below a folder, but for what is hidden.

    Raises:
        OSError: it cannot be read, or something went away meanwhile.
    """
    return frozenset(
        (path.relative_to(folder).as_posix(), stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for path in _files(folder)
        for stat in [path.stat()]
    )


def text_digest(folder: Path) -> str:
    """One of the names and contents of the files straight in a model's folder.

    They are the configuration and the labels; of one that is longer than any of those is, only the
    beginning and the length count.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            with path.open("rb") as stream:
                content = stream.read(_MOST_TEXT_BYTES)
            digest.update(repr((path.name, path.stat().st_size, content)).encode())
    return digest.hexdigest()


def _files(folder: Path, *, follows_links: bool = True) -> Iterator[Path]:
    """Folders that are links are followed at the top only: there they are versions."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=follows_links):
                yield from _files(path, follows_links=False)
            elif entry.is_file():
                yield path
