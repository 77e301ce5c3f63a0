"""What should be served of a model, from its folder. Loads nothing and decides no states."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle import VersionFolder, model_versions
from service.errors import LoadFailed
from service.model_config import read_config_file
from service.repository.policy import VersionPolicy
from service.repository.stamps import file_stamps, text_digest

__all__ = ["ModelPlan", "PlannedVersion", "is_model_name", "make_plan", "read_policy"]

_LONGEST_NAME_BYTES = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedVersion:
    """A version that should be served.

    Attributes:
        folder: where it lies.
        config: what the model's configuration says, as a ``ModelConfig`` message, if it has one.
        stamp: equal for two plans if nothing changed that it is loaded from.
        problem: why it cannot be loaded, where that is known without trying; empty otherwise.
        remark: what a person should know of where it comes from; empty where it is as usual.
    """

    folder: VersionFolder
    config: Any | None = field(default=None, compare=False)
    stamp: Hashable = None
    problem: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """What should be served of a model.

    Attributes:
        name: of the model.
        there: the versions that the repository has.
        wanted: the versions that should be served, by number; some may not be there.
    """

    name: str
    there: frozenset[int]
    wanted: Mapping[int, PlannedVersion]


def is_model_name(name: str) -> bool:
    """Whether a folder of that name can be a model's: nothing hidden, and no way elsewhere."""
    return (
        bool(name)
        and not name.startswith(".")
        and name.isprintable()
        and not {"/", "\\"} & set(name)
        and len(name.encode()) <= _LONGEST_NAME_BYTES
    )


def make_plan(
    folder: Path,
    *,
    default: VersionPolicy,
    config: Any | None = None,
    problems: Mapping[int, str] | None = None,
    remark: str = "",
) -> ModelPlan | None:
    """What should be served of the model in a folder; None where there is no such model.

    Args:
        folder: of the model.
        default: the policy where its configuration has none.
        config: in place of the folder's ``config.pbtxt``.
        problems: why versions cannot be loaded, by number; such a version counts as there.
        remark: of every version.

    Raises:
        OSError: the folder cannot be read.
    """
    if not is_model_name(folder.name) or not folder.is_dir():
        return None
    problems = problems or {}
    found = {version.version: version for version in model_versions(folder)}
    there = frozenset(found) | frozenset(problems)
    if not there:
        return None
    try:
        config = read_config_file(folder) if config is None else config
        policy = read_policy(config, default)
        trouble = ""
    except LoadFailed as err:  # which versions it wants is not known: those of the default fail
        config, policy, trouble = None, default, str(err)
    text = text_digest(folder)
    wanted = {}
    for version in policy.choose(there):
        place = found.get(version) or VersionFolder(folder.name, version, folder / str(version))
        is_there = version in found
        missing = "" if is_there else f"the repository has no version {version} of the model"
        problem = trouble or problems.get(version) or missing
        wanted[version] = PlannedVersion(
            folder=place,
            config=config,
            stamp=(text, file_stamps(place.path) if is_there else None, problem, remark),
            problem=problem,
            remark=remark,
        )
    return ModelPlan(name=folder.name, there=there, wanted=wanted)


def read_policy(config: Any | None, default: VersionPolicy) -> VersionPolicy:
    """The policy of a configuration, or the default.

    Raises:
        LoadFailed: it is none.
    """
    return default if config is None else VersionPolicy.of_config(config) or default
