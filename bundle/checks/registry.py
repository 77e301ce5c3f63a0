"""The checks by name, and running them.

A check is a module of `bundle.checks.library`: adding one is adding a file there, and its page in
``docs/checks/``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Protocol

from bundle.checks import library
from bundle.checks.subject import Subject
from bundle.errors import BundleError
from bundle.manifest import Finding

__all__ = ["Check", "Progress", "checks", "run_checks"]

Progress = Callable[[int, int, str], None]
"""Called with how many checks are done, how many there are, and the name of the next one."""


class Check(Protocol):
    """What a module of `bundle.checks.library` holds."""

    NAME: str
    """Of the check, as in findings: words joined by hyphens."""

    def check(self, subject: Subject) -> Finding:
        """Look at a subject.

        Raises:
            BundleError: the model cannot be opened or run: there is nothing to look at.
        """
        ...


@cache
def checks() -> Mapping[str, Check]:
    """Every check by its name, in alphabetical order."""
    modules = [
        importlib.import_module(f"{library.__name__}.{module.name}")
        for module in pkgutil.iter_modules(library.__path__)
    ]
    found: dict[str, Check] = {module.NAME: module for module in modules}
    return dict(sorted(found.items()))


def run_checks(
    subject: Subject, names: Sequence[str] | None = None, progress: Progress | None = None
) -> tuple[Finding, ...]:
    """Run some checks on a subject.

    Args:
        subject: the model.
        names: of the checks, in the order to run them; all where it is left out.
        progress: is told what is being done.

    Returns:
        One finding for each check. A model that cannot be opened or run fails the check.

    Raises:
        KeyError: there is no check of a name.
    """
    known = checks()
    chosen = list(known if names is None else names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise KeyError(f"there is no check '{unknown[0]}'; there are {', '.join(known)}")
    findings = []
    for done, name in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen), name)
        try:
            findings.append(known[name].check(subject))
        except BundleError as err:
            findings.append(
                Finding(
                    check=name,
                    status="fail",
                    measured=None,
                    tolerance=None,
                    meaning=f"the check could not be made: {err}",
                    remedy="make the model open and run, or give samples of what it takes",
                )
            )
    if progress is not None:
        progress(len(chosen), len(chosen), "")
    return tuple(findings)
