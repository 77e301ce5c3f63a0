"""A folder in a store elsewhere: lists and reads it, through fsspec. Keeps nothing.

What it finds there is believed as little as a client: names that lead elsewhere are refused, sizes
are known before anything is read, and no more is read than that. Whatever goes wrong in a store's
library is an `OSError` here.
"""

import importlib
import urllib.parse
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.errors import RepositoryMissing
from service.repository.location import KINDS

__all__ = ["Store", "StoreFile", "StoreUnreadable"]

_MOST_FILES: Final = 100_000
_DEEPEST: Final = 5
"""Folders below each other, where a store is asked folder by folder."""
_CHUNK_BYTES: Final = 8 * 2**20
_AT_ONCE: Final = 8
_CONNECT_S: Final = 10
_READ_S: Final = 60
_MARKS: Final = (
    *("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "generation"),
    *("version_id", "VersionId", "LastModified", "last_modified", "Last-Modified", "updated"),
)
"""Where stores say what changes when a file does; of several the first, which is the surest."""


class StoreUnreadable(OSError):
    """The store does not answer, or not what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFile:
    """A file in a store.

    Attributes:
        path: as the store has it.
        size: bytes; None where the store does not say.
        mark: differs once the file has changed.
    """

    path: str
    size: int | None
    mark: str


class Store:
    """A folder in a store.

    Args:
        url: of the folder, checked.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._scheme = url.partition("://")[0]
        self._fs: Any = None

    def open(self) -> None:
        """Find the library that the store needs; asks the store nothing.

        Raises:
            RepositoryMissing: it is not installed, or lacks what it needs.
        """
        if self._fs is not None:
            return
        kind = KINDS[self._scheme]
        try:
            importlib.import_module(kind.package)
            fsspec = importlib.import_module("fsspec")
        except ImportError as err:
            raise RepositoryMissing(
                f"the repository '{self._url}' needs the package {kind.package}; install"
                f" normserve[{kind.extra}]"
            ) from err
        try:
            with _told():
                self._fs, root = fsspec.core.url_to_fs(
                    self._url, skip_instance_cache=True, use_listings_cache=False, **self._options()
                )
        except StoreUnreadable as err:
            raise RepositoryMissing(
                f"the repository '{self._url}' cannot be opened: {err}"
            ) from err
        self._root = root.rstrip("/")

    def files(self, model: str | None = None) -> dict[str, StoreFile]:
        """Every file of the folder, or of one model in it, by its path below the folder.

        The paths are as the store has them: nobody has looked at their parts yet.

        Raises:
            StoreUnreadable: it cannot be listed, or has more files than a repository can have.
        """
        self.open()
        top = self._root if model is None else f"{self._root}/{self._quoted(model)}"
        with _told():
            self._fs.invalidate_cache()
            found = self._list(top, is_all=model is None)
        if len(found) > _MOST_FILES:
            raise StoreUnreadable(
                f"the repository has {len(found)} files; {_MOST_FILES} are the most it may have"
            )
        files = {}
        for path, info in found.items():
            if info.get("type") != "file":  # an object that stands for a folder
                continue
            below = self._unquoted(path.removeprefix(f"{self._root}/"))
            mark = next((str(info[key]) for key in _MARKS if info.get(key) is not None), "")
            size = info.get("size")
            files[below] = StoreFile(path=path, size=size, mark=f"{size} {mark}")
        return files

    def fetch(self, file: StoreFile, target: Path, *, told: Callable[[int], None]) -> None:
        """Write a file of the store to a new file here.

        Args:
            file: of the store.
            target: is made.
            told: is called with the bytes of each piece.

        Raises:
            StoreUnreadable: it cannot be read, or is not as long as the store said.
            OSError: it cannot be written.
        """
        done = 0
        with target.open("xb") as sink, closing(self._chunks(file.path)) as chunks:
            for chunk in chunks:
                done += len(chunk)
                if file.size is None or done > file.size:
                    break
                sink.write(chunk)
                told(len(chunk))
        if done != file.size:
            raise StoreUnreadable(f"the store said {file.size} bytes and gave {done} or more")

    def _chunks(self, path: str) -> Generator[bytes]:
        with (
            _told(),
            self._fs.open(path, "rb", block_size=_CHUNK_BYTES, cache_type="none") as source,
        ):
            while chunk := source.read(_CHUNK_BYTES):
                yield chunk

    @property
    def _is_http(self) -> bool:
        return self._scheme in ("http", "https")

    def _options(self) -> dict[str, Any]:
        """So that a store that does not answer is given up in minutes, not in an hour."""
        if self._scheme == "s3":
            return {"config_kwargs": {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S}}
        if self._is_http:
            aiohttp = importlib.import_module("aiohttp")
            limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S)
            return {"client_kwargs": {"timeout": limits}}
        if KINDS[self._scheme].extra == "azure":
            return {"connection_timeout": _CONNECT_S, "read_timeout": _READ_S}
        return {}

    def _list(self, top: str, *, is_all: bool) -> Mapping[str, Mapping[str, Any]]:
        try:
            found: Mapping[str, Mapping[str, Any]] = (
                self._walk(top) if self._is_http else self._fs.find(top, detail=True)
            )
        except FileNotFoundError as err:
            if is_all:
                raise StoreUnreadable(_reason(err)) from err
            return {}
        return found

    def _walk(self, top: str) -> dict[str, Mapping[str, Any]]:
        """What a web server's listings lead to, with what it says of each file.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        paths: list[str] = []
        waiting = [(f"{top}/", 0)]
        while waiting:
            folder, depth = waiting.pop()
            try:
                entries = self._fs.ls(folder, detail=True)
            except FileNotFoundError:
                if not depth:
                    raise
                continue  # it was there a moment ago
            for entry in entries:
                name = entry["name"]
                if not name.startswith(folder) or name == folder or {"?", "#"} & set(name):
                    continue  # links to elsewhere, and those that sort the listing
                if not name.endswith("/"):
                    paths.append(name)
                elif depth + 1 < _DEEPEST:
                    waiting.append((name, depth + 1))
            if len(paths) + len(waiting) > _MOST_FILES:
                raise StoreUnreadable(f"the repository has more than {_MOST_FILES} files")
        with ThreadPoolExecutor(_AT_ONCE) as executor:
            return dict(zip(paths, executor.map(self._info, paths), strict=True))

    def _info(self, path: str) -> Mapping[str, Any]:
        """What the store says of a file; no size where it says that it is not there."""
        try:
            info: Mapping[str, Any] = self._fs.info(path)
        except FileNotFoundError:
            return {"type": "file", "size": None}
        return info

    def _quoted(self, name: str) -> str:
        return urllib.parse.quote(name) if self._is_http else name

    def _unquoted(self, path: str) -> str:
        return urllib.parse.unquote(path) if self._is_http else path


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except StoreUnreadable:
        raise
    except Exception as err:
        # The edge to other libraries: those of the stores have no class of errors in common.
        raise StoreUnreadable(_reason(err)) from err


def _reason(error: Exception) -> str:
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
