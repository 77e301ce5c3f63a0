"""Models that clients gave with their requests, on disk as long as they answer. Loads none.

Each request has a folder of its own below the system's temporary folder; the server removes it when
nothing answers from it any more.
"""

import tempfile
import threading
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from service.errors import ParameterInvalid, excerpt
from service.repository.given import GivenModel
from service.repository.plan import ModelPlan, is_model_name, make_plan
from service.repository.policy import VersionPolicy

__all__ = ["Uploads"]

_MOST_MODELS = 64
_REMARK = "loaded from the files of a request"


@dataclass(frozen=True, slots=True)
class _Upload:
    folder: "tempfile.TemporaryDirectory[str]"
    path: Path


class Uploads:
    """The models that clients gave.

    Args:
        default: the version policy where a configuration has none.
    """

    def __init__(self, *, default: VersionPolicy) -> None:
        self._default = default
        self._lock = threading.Lock()
        self._kept: dict[str, list[_Upload]] = {}

    def has(self, name: str) -> bool:
        """Whether a model of that name answers from a client's files, or is about to."""
        return name in self._kept

    def plan(self, name: str, given: GivenModel) -> ModelPlan:
        """Write a client's files, and say what should be served of them.

        Raises:
            ParameterInvalid: no model can have that name, the files are none, or there are too many
                models of this kind already.
            OSError: they cannot be written.
        """
        if not is_model_name(name):
            raise ParameterInvalid(f"a model cannot be called {excerpt(name)}")
        with self._lock:
            if name not in self._kept and len(self._kept) >= _MOST_MODELS:
                raise ParameterInvalid(
                    f"{_MOST_MODELS} models are loaded from the files of requests, as many as may;"
                    " unload one"
                )
            folder = tempfile.TemporaryDirectory(
                prefix="normserve-given-", ignore_cleanup_errors=True
            )
            root = Path(folder.name).resolve()
            self._kept.setdefault(name, []).append(_Upload(folder, root))
        for path, content in given.files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        plan = make_plan(root / name, default=self._default, config=given.config, remark=_REMARK)
        if plan is None:
            raise ParameterInvalid(
                "none of the files is a model; give one as 'file:<version>/model.onnx'"
            )
        return plan

    def release(self, name: str, *, keep: AbstractSet[Path]) -> None:
        """Remove what was given for a model, but for the version folders that it answers from."""
        with self._lock:
            given = self._kept.pop(name, [])
            used = [each for each in given if any(path.is_relative_to(each.path) for path in keep)]
            if used:
                self._kept[name] = used
        for each in given:
            if each not in used:
                each.folder.cleanup()

    def close(self) -> None:
        """Remove everything."""
        for name in list(self._kept):
            self.release(name, keep=frozenset())
