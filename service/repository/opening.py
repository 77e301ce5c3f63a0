"""The repository that the settings name. Reads nothing of it."""

import hashlib
import os
from pathlib import Path

from service.repository.local import LocalRepository
from service.repository.mirror import Mirror
from service.repository.policy import VersionPolicy
from service.repository.remote import RemoteRepository
from service.repository.repository import Repository
from service.repository.store import Store

__all__ = ["check_repository", "open_repository"]


def open_repository(
    place: Path | str, *, default: VersionPolicy, cache: Path | None, max_bytes: int
) -> Repository:
    """A folder of this machine, or a store elsewhere that a URL names.

    Args:
        place: a path, or a URL that was checked.
        default: the version policy of models whose configuration has none.
        cache: the folder for copies of what is elsewhere, of every repository; the user's if it is
            left out.
        max_bytes: that the copies of one repository may take.
    """
    if isinstance(place, Path):
        return LocalRepository(place, default=default)
    folder = (cache or _users_cache()) / hashlib.sha256(place.encode()).hexdigest()[:16]
    return RemoteRepository(Store(place), Mirror(folder, max_bytes=max_bytes), default=default)


def check_repository(place: Path | str) -> None:
    """Whether there can be a repository, as far as a quick look at this machine tells.

    Raises:
        RepositoryMissing: there cannot; the message says why and what to do.
    """
    if isinstance(place, Path):
        LocalRepository(place, default=VersionPolicy()).check()
    else:
        Store(place).open()


def _users_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "normserve"
