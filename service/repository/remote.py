"""A repository in a store elsewhere, served from a copy on this machine.

What the store has is looked at, the versions that should be served are copied, and the copy is
planned from like any folder. Where the store cannot be read, what was copied and verified before is
served, and says so.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from bundle import MANIFEST, MODEL, is_version
from service.errors import LoadFailed, RepositoryMissing
from service.model_config import read_config_file
from service.repository.local import LocalRepository
from service.repository.mirror import Mirror, NotMirrored
from service.repository.plan import ModelPlan, is_model_name, make_plan, read_policy
from service.repository.policy import VersionPolicy
from service.repository.repository import Stamp
from service.repository.store import Store, StoreFile, StoreUnreadable

__all__ = ["RemoteRepository"]

Files = dict[str, StoreFile]

_DOWN_S: Final = 10.0
_LONGEST_VERSION: Final = 18
"""Digits: longer ones no request can ask for."""

_log = structlog.stdlib.get_logger(__name__)


class RemoteRepository:
    """Models in a store; see `Repository`.

    Args:
        store: that has them.
        mirror: keeps the copies.
        default: the policy of models whose configuration has none.

    Attributes:
        folder: of the copies.
    """

    def __init__(self, store: Store, mirror: Mirror, *, default: VersionPolicy) -> None:
        self.folder = mirror.folder
        self._store = store
        self._mirror = mirror
        self._default = default
        self._copies = LocalRepository(mirror.folder, default=default)
        self._lock = threading.Lock()
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._down_until = 0.0
        self._down_because = ""
        self._planned: dict[str, frozenset[int]] = {}

    def check(self) -> None:
        """Whether the store can be read, or a copy is there.

        Raises:
            RepositoryMissing: neither; or the copies cannot be kept.
        """
        self._store.open()
        self._mirror.open()
        _log.info("reading the repository", copy=str(self.folder))
        try:
            models = _by_model(self._list())
        except StoreUnreadable as err:
            if not self._copies.stamps():
                self._mirror.close()
                raise RepositoryMissing(
                    f"the model repository cannot be read: {err}; see docs/repositories.md for what"
                    " each kind of store needs"
                ) from err
            _log.warning("repository not readable; its copy is served", reason=str(err))
        else:
            if not models:
                _log.warning("repository empty")

    def stamps(self) -> dict[str, Stamp]:
        """Of every model, something that is equal as long as nothing of it changes.

        Raises:
            StoreUnreadable: the store cannot be read, and nothing was copied before.
        """
        try:
            models = _by_model(self._list())
        except StoreUnreadable:
            if self._planned:
                raise  # what is served stays as it is
            return self._copies.stamps()
        return {
            name: (
                frozenset((path, file.size, file.mark) for path, file in files.items()),
                self._failures[name],  # so that what failed to come is tried again
            )
            for name, files in models.items()
        }

    def plan(self, name: str, *, config: Any | None = None) -> ModelPlan | None:
        """What should be served of a model, copied; None where there is no such model.

        Raises:
            OSError: the store cannot be read and there is no copy, or the copy cannot be written.
        """
        if not is_model_name(name):
            return None
        with self._lock:
            try:
                files = _by_model(self._list(name)).get(name, {})
                plan = self._copy(name, files, config=config)
            except StoreUnreadable as err:
                self._failures[name] += 1
                _log.warning("model not fetched; its copy is served", model=name, reason=str(err))
                plan = make_plan(
                    self.folder / name,
                    default=self._default,
                    config=config,
                    remark=f"from the copy on this machine: the repository cannot be read ({err})",
                )
                if plan is None:
                    raise
            except OSError:
                self._failures[name] += 1
                raise
            if plan is None:
                self._planned.pop(name, None)
            else:
                self._planned[name] = frozenset(plan.wanted)
            return plan

    def release(self, name: str, *, keep: frozenset[int]) -> None:
        """Remove the copies that nothing is served from."""
        with self._lock:
            planned = self._planned.get(name)
            if planned is None:
                return
            for version in _versions_in(self.folder / name):
                if version not in keep | planned:
                    self._mirror.remove(name, version)

    def close(self) -> None:
        """Leave the copies to the next server."""
        self._mirror.close()

    def _list(self, name: str | None = None) -> dict[str, StoreFile]:
        """The files of the store; one that has just failed to answer is not waited for again."""
        if time.monotonic() < self._down_until:
            raise StoreUnreadable(self._down_because)
        try:
            return self._store.files(name)
        except StoreUnreadable as err:
            self._down_because = str(err)
            self._down_until = time.monotonic() + _DOWN_S
            raise

    def _copy(self, name: str, files: Files, *, config: Any | None) -> ModelPlan | None:
        """Copy what should be served of a model, and plan from the copy."""
        if not files:
            self._mirror.remove(name)
            return None
        versions = _by_version(files)
        texts = {path: file for path, file in files.items() if "/" not in path}
        home = self.folder / name
        home.mkdir(exist_ok=True)
        problems = {}
        try:
            self._mirror.take_texts(self._store, name, _checked(texts))
        except (NotMirrored, StoreUnreadable) as err:
            # which versions it wants is not known: none is served, or those that were copied
            problems = dict.fromkeys(versions, self._problem(name, err, _versions_in(home)))
        for version in self._policy(name, config).choose(versions.keys() - problems.keys()):
            if version not in versions:
                continue
            try:
                self._mirror.take_version(self._store, name, version, _checked(versions[version]))
            except (NotMirrored, StoreUnreadable) as err:
                is_copied = version in _versions_in(home)
                problems[version] = self._problem(name, err, [version] if is_copied else [])
        for version in _versions_in(home):
            if version not in versions:
                self._mirror.remove(name, version)
        return make_plan(home, default=self._default, config=config, problems=problems)

    def _problem(self, name: str, error: Exception, copied: list[int]) -> str:
        """Why something of a model was not copied.

        Raises:
            StoreUnreadable: it could not be fetched, and there are copies from before.
        """
        if isinstance(error, NotMirrored):
            return str(error)
        if copied:
            raise error
        self._failures[name] += 1
        return f"it cannot be fetched: {error}"

    def _policy(self, name: str, config: Any | None) -> VersionPolicy:
        try:
            said = read_config_file(self.folder / name) if config is None else config
            return read_policy(said, self._default)
        except LoadFailed:  # the plan will say so
            return self._default


def _by_model(files: Mapping[str, StoreFile]) -> dict[str, Files]:
    """The files of each model by their paths below it; hidden ones are left out."""
    models: dict[str, Files] = {}
    for path, file in files.items():
        name, _, below = path.partition("/")
        if not below:
            continue
        if is_model_name(name):
            models.setdefault(name, {})[below] = file
        elif not name.startswith(".") or name == "..":
            _log.warning("not a model's name", name=repr(name))
    return models


def _by_version(files: Files) -> dict[int, Files]:
    """The files of each version that is one, by their paths below it."""
    versions: dict[int, Files] = {}
    for path, file in files.items():
        number, _, below = path.partition("/")
        if below and is_version(number) and len(number) <= _LONGEST_VERSION:
            versions.setdefault(int(number), {})[below] = file
    return {
        number: found for number, found in versions.items() if MODEL in found or MANIFEST in found
    }


def _versions_in(home: Path) -> list[int]:
    """The versions of a model that were copied, whole or not."""
    there = home.iterdir() if home.is_dir() else ()
    return [int(each.name) for each in there if is_version(each.name)]


def _checked(files: Files) -> Files:
    """The files of a version that are not hidden.

    Raises:
        NotMirrored: one would not lie in the version's folder, or not under its name.
    """
    kept = {}
    for path, file in files.items():
        parts = path.split("/")
        unsafe = [part for part in parts if not is_model_name(part)]
        if any(not part.startswith(".") or part in (".", "..") for part in unsafe):
            raise NotMirrored(f"the repository has a file that cannot be called so: {path!r}")
        if not unsafe:
            kept[path] = file
    return kept
