"""``normserve diagnose``: the command line of it. Finds nothing out itself."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from pydantic import TypeAdapter

from bundle import BundleError
from bundle.diagnose import (
    Diagnosis,
    Examined,
    Verdict,
    diagnose_files,
    diagnose_ways,
    ways_here,
)
from normserve.console import stdout
from normserve.diagnose.sources import Target, feeds_for, target_of
from normserve.diagnose.table import print_diagnosis

__all__ = ["command"]

_DOCUMENT = TypeAdapter(tuple[Diagnosis, ...])
_CANNOT = 2


class _CannotDiagnose(click.ClickException):
    exit_code = _CANNOT


@click.command("diagnose")
@click.argument("target", type=click.Path(path_type=Path, exists=True))
@click.argument("other", type=click.Path(path_type=Path, exists=True), required=False)
@click.option(
    "--against",
    metavar="NAME|PACKAGE.MODULE:FACTORY",
    help="The torch model that a bundle is of: a network of the zoo, or a function that makes it.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights for --against, as `normserve export` takes them.",
)
@click.option(
    "--inputs",
    type=click.Path(path_type=Path, exists=True),
    help="An .npz file by the inputs' names, or a test_data_set_0 folder.  [default: the bundle's"
    " first golden sample, else random]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write diagnosis.json and the smallest model that shows the difference into this folder.",
)
@click.option("--all", "every_row", is_flag=True, help="Show every value in the table.")
@click.option("--json", "as_json", is_flag=True, help="Print the diagnosis as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    target: Path,
    other: Path | None,
    against: str | None,
    checkpoint: Path | None,
    inputs: Path | None,
    output: Path | None,
    every_row: bool,
    as_json: bool,
) -> None:
    """Find the first layer that computes something else, the likely cause, and a reproduction.

    With OTHER, TARGET is what is right and OTHER is examined: two ONNX files or bundles whose
    values have the same names. With --against, a bundle is compared with its torch model, layer by
    layer. With TARGET alone, ways of running it that must not matter are compared with float64:
    optimizations, threads, providers.

    Exit status: 0, nothing differs by more than its precision explains. 1, something does. 2, it
    could not be found out.
    """
    if other is not None and against is not None:
        raise click.UsageError("OTHER and --against exclude each other.")
    if checkpoint is not None and against is None:
        raise click.UsageError("--checkpoint goes with --against.")
    try:
        first = target_of(target)
        if against is not None:
            found = _against_torch(first, against, checkpoint, inputs)
        elif other is not None:
            found = (_two_files(first, target_of(other), inputs),)
        else:
            found = tuple(diagnose_ways(first.model, feeds_for(first, inputs), ways_here()))
    except BundleError as err:
        raise _CannotDiagnose(str(err)) from err
    diagnoses = tuple(each.diagnosis for each in found)
    document = _DOCUMENT.dump_json(diagnoses, indent=1)
    if output is not None:
        _write(output, found, document)
    if as_json:
        click.echo(document.decode())
    else:
        for diagnosis in diagnoses:
            print_diagnosis(diagnosis, stdout, every_row=every_row)
        if output is not None:
            stdout.print(f"wrote {output}")
    ctx.exit(int(any(diagnosis.verdict is Verdict.DIVERGES for diagnosis in diagnoses)))


def _two_files(right: Target, examined: Target, inputs: Path | None) -> Examined:
    bundle = examined.bundle or right.bundle
    norms = () if bundle is None else bundle.manifest.norms
    return diagnose_files(
        right.model,
        examined.model,
        feeds_for(right, inputs),
        names=(right.title, examined.title),
        folded={n: layer.name for layer in norms if layer.fate == "folded" for n in layer.nodes},
    )


def _against_torch(
    target: Target, reference: str, checkpoint: Path | None, inputs: Path | None
) -> tuple[Examined, ...]:
    if target.bundle is None:
        raise click.UsageError("--against needs a bundle, whose manifest says what the layers are.")
    if inputs is not None:
        raise click.UsageError("--against compares on the bundle's golden sample; leave --inputs.")
    from exporters import ExportError, load_checkpoint, resolve_factory
    from exporters.diagnose import diagnose_model
    from models import SCENES

    try:
        if reference in SCENES and checkpoint is None:
            scene = SCENES[reference]
            return diagnose_model(scene.load(), target.bundle, scene.example_inputs())
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it: it need not be installed
        made = resolve_factory(reference)()
        model, example = made if isinstance(made, tuple) else (made, None)
        if checkpoint is not None:
            load_checkpoint(model, checkpoint)
        return diagnose_model(model, target.bundle, example)
    except ExportError as err:
        raise _CannotDiagnose(str(err)) from err


def _write(folder: Path, found: Sequence[Examined], document: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "diagnosis.json").write_bytes(document)
    parts = [each.part for each in found if each.part is not None]
    for number, part in enumerate(parts):
        part.write(folder / ("reproduction" if not number else f"reproduction_{number}"))
