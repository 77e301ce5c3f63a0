"""Which checks are made, by name. Makes none."""

import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

from bundle.checks import Registry, checks
from bundle.precision import parity
from normserve.served import NAME as AS_SERVED
from normserve.validate import library
from normserve.validate.ondisk import OnDisk

__all__ = ["EXPORT", "OF_FOLDERS", "Selection", "UnknownCheck", "page_of", "question_of", "select"]

OF_FOLDERS: Registry[OnDisk] = Registry(library)
"""The checks of this package."""

EXPORT = "export"
"""The check that a model fails of which no file can be made."""

_TORCH_CHECKS = "exporters.checks"


class UnknownCheck(Exception):
    """There is no check of a name; the message lists those that there are."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The checks that are wanted.

    Attributes:
        only: their names; None for all.
        skipped: names of those that are not wanted.
    """

    only: frozenset[str] | None = None
    skipped: frozenset[str] = frozenset()

    def wants(self, name: str) -> bool:
        """Whether a check is to be made, or its finding at export to be shown."""
        return name not in self.skipped and (self.only is None or name in self.only)

    def of(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of some checks that are wanted, in their order."""
        return tuple(filter(self.wants, names))


def select(only: Iterable[str], skipped: Iterable[str]) -> Selection:
    """The selection of some names.

    Args:
        only: names of checks; none at all stands for every check.
        skipped: names of checks.

    Raises:
        UnknownCheck: there is no check of a name.
    """
    wanted, unwanted = frozenset(only), frozenset(skipped)
    named = wanted | unwanted
    if not named <= _without_torch().keys():
        known = sorted({*_without_torch(), *_of_torch(), EXPORT})
        unknown = sorted(named.difference(known))
        if unknown:
            raise UnknownCheck(f"there is no check '{unknown[0]}'; there are {', '.join(known)}.")
    return Selection(wanted or None, unwanted)


def question_of(name: str) -> str:
    """What a check asks, in one sentence; its name where the module is not loaded."""
    if name == EXPORT:
        return "Can a file be made of the model at all?"
    known = _without_torch()
    if _TORCH_CHECKS in sys.modules:
        known = {**_of_torch(), **known}
    module = known.get(name)
    text = inspect.getdoc(module) if module is not None else None
    return text.partition("\n")[0] if text else name


def page_of(name: str) -> str:
    """Where a check is explained."""
    return "docs/exporting.md" if name == EXPORT else f"docs/checks/{name}.md"


def _without_torch() -> Mapping[str, object]:
    served: ModuleType = importlib.import_module("normserve.served.check")
    return {**OF_FOLDERS.checks, **checks(), AS_SERVED: served, parity.NAME: parity}


def _of_torch() -> Mapping[str, object]:
    try:
        module = importlib.import_module(_TORCH_CHECKS)
    except ModuleNotFoundError:
        return {}  # there is no torch here, and no check that needs it
    found: Mapping[str, object] = module.TORCH_CHECKS.checks
    return found
