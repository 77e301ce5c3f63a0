"""Checks by name, and running them. Knows none of them, nor what they look at.

A check is a module of a package, such as `bundle.checks.library` for checks of a model's file:
adding one is adding a file there, and its page in ``docs/checks/``.
"""

import importlib
import logging
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import Generic, Literal, Protocol, TypeVar

from bundle.errors import BundleError, InputInvalid
from bundle.manifest import Finding

__all__ = ["Check", "Progress", "Registry"]

_log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Called with how many checks are done, how many there are, and the name of the next one."""

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


class Check(Protocol[S_contra]):
    """What a module of checks holds."""

    NAME: str
    """Of the check, as in findings: words joined by hyphens."""

    def check(self, subject: S_contra) -> Finding | tuple[Finding, ...]:
        """Look at a subject.

        Raises:
            BundleError: the model cannot be opened or run: there is nothing to look at.
        """
        ...


class Registry(Generic[S]):
    """The checks of one kind of subject."""

    def __init__(self, package: ModuleType) -> None:
        self._package = package

    @cached_property
    def checks(self) -> Mapping[str, Check[S]]:
        """Every check by its name, in alphabetical order."""
        modules = [
            importlib.import_module(f"{self._package.__name__}.{module.name}")
            for module in pkgutil.iter_modules(self._package.__path__)
        ]
        found: dict[str, Check[S]] = {module.NAME: module for module in modules}
        return dict(sorted(found.items()))

    def run(
        self, subject: S, names: Sequence[str] | None = None, progress: Progress | None = None
    ) -> tuple[Finding, ...]:
        """Run some checks on a subject.

        Args:
            subject: the model.
            names: of the checks, in the order to run them; all where it is left out.
            progress: is told what is being done.

        Returns:
            What each check found. A model that cannot be opened or run fails the check, as does
            one that the check itself fails on; without an input that it can compute there is
            nothing to check.

        Raises:
            KeyError: there is no check of a name.
        """
        chosen = list(self.checks if names is None else names)
        unknown = [name for name in chosen if name not in self.checks]
        if unknown:
            raise KeyError(f"there is no check '{unknown[0]}'; there are {', '.join(self.checks)}")
        findings: list[Finding] = []
        for done, name in enumerate(chosen):
            if progress is not None:
                progress(done, len(chosen), name)
            findings.extend(self._run(name, subject))
        if progress is not None:
            progress(len(chosen), len(chosen), "")
        return tuple(findings)

    def _run(self, name: str, subject: S) -> tuple[Finding, ...]:
        try:
            found = self.checks[name].check(subject)
        except InputInvalid as err:
            found = _not_made(name, "not_applicable", str(err), "give samples of what it takes")
        except BundleError as err:
            found = _not_made(name, "fail", str(err), "make the model open and run")
        except Exception as err:  # noqa: BLE001  # one check's defect must not hide what others find
            _log.exception("the check %s met an error that nobody foresaw", name)
            reason = f"{type(err).__name__}: {err}"
            found = _not_made(name, "fail", reason, "report it, with the model if you can")
        return found if isinstance(found, tuple) else (found,)


def _not_made(
    name: str, status: Literal["fail", "not_applicable"], reason: str, remedy: str
) -> Finding:
    return Finding(
        check=name,
        status=status,
        measured=None,
        tolerance=None,
        meaning=f"the check could not be made: {reason}",
        remedy=remedy,
    )
