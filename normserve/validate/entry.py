"""``normserve validate``: the command line of the validation pipeline. Examines nothing itself."""

from collections.abc import Callable
from pathlib import Path

import click

from bundle import ProviderPolicy, ProviderUnavailable
from bundle.precision import Precision
from normserve.console import bar, stdout
from normserve.validate.document import FailOn, Report
from normserve.validate.network import Described
from normserve.validate.outputs import print_report, to_junit, to_markdown, to_sarif
from normserve.validate.plan import Plan
from normserve.validate.run import validate
from normserve.validate.selection import UnknownCheck, select

__all__ = ["command"]

_FORMS: dict[str, Callable[[Report], bytes]] = {
    "junit": to_junit,
    "markdown": to_markdown,
    "sarif": to_sarif,
}


class _File(click.ParamType[Path]):
    """A file that can be written, found out before the work and not after it."""

    name = "FILE"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        path = Path(value)
        if path.is_dir() or not path.parent.is_dir():
            self.fail(f"'{path}' cannot be written: wanted a file in a folder that is there.")
        return path


@click.command("validate")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--check", "only", multiple=True, metavar="NAME", help="Make this check; all if left out."
)
@click.option("--skip", "skipped", multiple=True, metavar="NAME", help="Leave this check out.")
@click.option(
    "--fail-on",
    type=click.Choice(["fail", "warn"]),
    default="fail",
    show_default=True,
    help="From which status of a check on the exit status is 1.",
)
@click.option(
    "--served/--no-served",
    default=None,
    help="Ask models on disk behind a server process too.  [default: those in folders]",
)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice([str(precision) for precision in Precision]),
    multiple=True,
    help="Convert models on disk and measure what they lose (the check precision-parity).",
)
@click.option(
    "--policy",
    type=click.Choice(ProviderPolicy.spellings()),
    default=str(ProviderPolicy.CPU),
    show_default=True,
    help="Where models on disk run.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Threads of one run; 0 leaves it to ONNX Runtime.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="What the trials of one batch certificate may take.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Weights of a package.module:factory, as `normserve export` takes them.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME:DATATYPE[SIZES]",
    help="What a package.module:factory takes, such as pixels:FP32[batch,3,224,224].",
)
@click.option(
    "--reference",
    "references",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Real inputs of a package.module:factory: an .npz with an array for each input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON and nothing else.")
@click.option("--junit", type=_File(), help="Write the report as JUnit XML.")
@click.option("--markdown", type=_File(), help="Write it as Markdown, for the summary of a job.")
@click.option("--sarif", type=_File(), help="Write it as SARIF 2.1.0, for code scanning.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    targets: tuple[str, ...],
    only: tuple[str, ...],
    skipped: tuple[str, ...],
    fail_on: FailOn,
    served: bool | None,
    precisions: tuple[str, ...],
    policy: str,
    threads: int,
    seconds: float,
    checkpoint: Path | None,
    inputs: tuple[str, ...],
    references: tuple[Path, ...],
    as_json: bool,
    **files: Path | None,
) -> None:
    """Check models before they are served, in a terminal or in CI.

    A TARGET is a bundle (its version folder, or its model folder), a repository of them or of plain
    Triton folders, a bare .onnx file, a package.module:factory, a network of the zoo, or "all" of
    those.

    Exit status: 0, no check failed. 1, a check failed. 2, a target could not be examined, or the
    command line is wrong; 2 wins over 1, because the picture is then incomplete.
    """
    if (checkpoint or inputs or references) and (len(targets) > 1 or ":" not in targets[0]):
        raise click.UsageError(
            "--checkpoint, --input and --reference belong to one package.module:factory."
        )
    try:
        selection = select(only, skipped)
        with bar("validating") as progress:
            report = validate(
                targets,
                Plan(
                    selection,
                    ProviderPolicy(policy),
                    threads,
                    seconds,
                    tuple(map(Precision, precisions)),
                ),
                described=Described(checkpoint, inputs, references),
                served=served,
                fail_on=fail_on,
                progress=progress,
            )
    except (UnknownCheck, ProviderUnavailable) as err:
        raise click.UsageError(str(err)) from err
    _write(report, files)
    if as_json:
        click.echo(report.model_dump_json(indent=1))
    else:
        print_report(report, stdout)
    ctx.exit(report.exit_status)


def _write(report: Report, files: dict[str, Path | None]) -> None:
    for form, path in files.items():
        if path is not None:
            try:
                path.write_bytes(_FORMS[form](report))
            except OSError as err:
                raise click.UsageError(f"'{path}' cannot be written: {err.strerror}.") from err
