"""Examine a torch model as an export would, without writing anything. Imports torch when used."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import click

from bundle import Finding
from bundle.checks import checks
from normserve.validate.document import Where
from normserve.validate.errors import Unexaminable
from normserve.validate.places import where_is_defined
from normserve.validate.plan import Notes, Plan, Say
from normserve.validate.selection import page_of
from normserve.validate.targets import NetworkTarget

__all__ = ["Described", "examine_network", "names_of_the_zoo", "where_is_network"]


@dataclass(frozen=True, slots=True)
class Described:
    """What the command line says of a model that a function makes.

    Attributes:
        checkpoint: its weights.
        inputs: what it takes, as ``--input`` has it.
        references: files of real inputs, as ``--reference`` has them.
    """

    checkpoint: Path | None = None
    inputs: tuple[str, ...] = ()
    references: tuple[Path, ...] = ()


def names_of_the_zoo() -> tuple[str, ...]:
    """The networks of the zoo; none where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return ()
    from models import SCENES

    return tuple(SCENES)


def where_is_network(target: NetworkTarget) -> Where | None:
    """The function that makes it."""
    from exporters import FactoryInvalid, resolve_factory
    from models import SCENES

    if ":" not in target.title:
        return where_is_defined(SCENES[target.title].build)
    try:
        return where_is_defined(resolve_factory(target.title))
    except FactoryInvalid:
        return None


def examine_network(
    target: NetworkTarget, described: Described, plan: Plan, notes: Notes, say: Say
) -> None:
    """Convert it and run every check of both libraries.

    What an export would refuse is a failure of the check that says why. A check that is skipped may
    fail without ending the examination.

    Raises:
        Unexaminable: no model can be made of the target, or it does not take the inputs.
    """
    if importlib.util.find_spec("torch") is None:
        raise Unexaminable(f"'{target.title}' needs torch; install normserve[export].")
    from exporters import ExportError, InputsInvalid, SourceInvalid, examine
    from exporters.checks import TORCH_CHECKS
    from normserve.input_spec import parse_input
    from normserve.sources import from_factory, from_zoo

    try:
        if ":" in target.title:
            specs = tuple(map(parse_input, described.inputs))
            source = from_factory(target.title, described.checkpoint, specs, described.references)
        else:
            source = from_zoo(target.title, described.checkpoint)
    except (SourceInvalid, ValueError) as err:
        raise Unexaminable(str(err)) from err
    except SystemExit as err:
        raise Unexaminable(f"'{target.title}' ends the process and returns no model.") from err
    except click.UsageError as err:
        raise Unexaminable(err.message) from err
    skippable = {*TORCH_CHECKS.checks, *checks()}
    try:
        examined = examine(
            source.model,
            **source.arguments,
            allow=sorted(plan.selection.skipped & skippable),
            progress=say,
        )
    except InputsInvalid as err:
        raise Unexaminable(str(err)) from err
    except ExportError as err:
        notes.take([_refusal(err.check, str(err))])
        return
    notes.certificate = examined.manifest.certificate
    found = examined.manifest.findings
    notes.take(finding for finding in found if plan.selection.wants(finding.check))


def _refusal(check: str, message: str) -> Finding:
    return Finding(
        check=check,
        status="fail",
        measured=None,
        tolerance=None,
        meaning=message,
        remedy=f"see {page_of(check)}",
    )
