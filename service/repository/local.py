"""A repository that is a folder of this machine, or looks like one."""

from pathlib import Path
from typing import Any

import structlog

from service.errors import RepositoryMissing
from service.repository.plan import ModelPlan, is_model_name, make_plan
from service.repository.policy import VersionPolicy
from service.repository.repository import Stamp
from service.repository.stamps import file_stamps

__all__ = ["LocalRepository"]

_log = structlog.stdlib.get_logger(__name__)

_WANTED = "{name}/<version>/model.onnx, the version a number from 1 on without leading zeros"


class LocalRepository:
    """A folder of models; see `Repository`.

    Args:
        folder: ``<model>/[config.pbtxt]<version>/model.onnx``.
        default: the policy of models whose configuration has none.

    Attributes:
        folder: the same.
    """

    def __init__(self, folder: Path, *, default: VersionPolicy) -> None:
        self.folder = folder
        self._default = default

    def check(self) -> None:
        """Whether there is one.

        Raises:
            RepositoryMissing: the path is no folder, or may not be read.
        """
        try:
            next(self.folder.iterdir(), None)
        except OSError as err:
            raise RepositoryMissing(
                f"the model repository '{self.folder}' cannot be read: {err.strerror}; give the"
                " folder that holds <model>/<version>/model.onnx"
            ) from err

    def stamps(self) -> dict[str, Stamp]:
        """Of every model, something that is equal as long as nothing of it changes.

        Raises:
            OSError: the repository cannot be read.
        """
        found: dict[str, Stamp] = {}
        for model in self.folder.iterdir():
            if is_model_name(model.name) and model.is_dir():
                try:
                    found[model.name] = file_stamps(model)
                except OSError as err:  # of this one; it may be in the middle of a change
                    _log.warning("model not readable", model=model.name, reason=err.strerror)
                    found[model.name] = None
        return found

    def plan(self, name: str, *, config: Any | None = None) -> ModelPlan | None:
        """What should be served of a model; None where there is no such model.

        Raises:
            OSError: its folder cannot be read.
        """
        if not is_model_name(name):
            return None
        plan = make_plan(self.folder / name, default=self._default, config=config)
        if plan is None and (self.folder / name).is_dir():
            _log.warning("folder without a version", model=name, wanted=_WANTED.format(name=name))
        return plan

    def close(self) -> None:
        """Nothing: there is nothing to give back."""

    def release(self, name: str, *, keep: frozenset[int]) -> None:
        """Nothing: what lies in a folder of this machine is its owner's."""
