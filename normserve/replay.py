"""``normserve replay``: ask again what was recorded, and compare the answers."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from pydantic import ValidationError
from rich import box
from rich.markup import escape
from rich.table import Table

from bundle import (
    MODEL,
    BundleError,
    OutputComparison,
    ProviderPolicy,
    Tolerance,
    compare,
    find_versions,
    open_model,
    read_bundle,
)
from bundle.checks import Subject
from bundle.checks.parity import EXACTLY
from normserve.console import stdout
from normserve.recording import Recording, RecordInvalid, read_recording
from normserve.remote import Access, access_options, ask, connected, json_option, url_option

__all__ = ["command"]

_PREFIX = "normserve_"
_MEASURED = frozenset({"normserve_queue_us", "normserve_compute_us"})
"""What is another number each time."""


@dataclass(frozen=True, slots=True)
class _Again:
    """What was answered this time.

    Attributes:
        where: it was asked.
        outputs: by name.
        provenance: as far as it is known.
        tolerances: that the manifest has; None where there is no manifest to read.
    """

    where: str
    outputs: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]
    tolerances: Mapping[str, Tolerance] | None


@click.command("replay")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@url_option
@access_options
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Run the model of this repository in this process, instead of asking a service.",
)
@click.option("--version", help="Of the model.  [default: the one that answered then]")
@click.option(
    "--provider",
    type=click.Choice(ProviderPolicy.spellings()),
    default=str(ProviderPolicy.CPU),
    show_default=True,
    help="Where the model of --repository runs.",
)
@click.option(
    "--atol",
    type=click.FloatRange(min=0),
    help="How far a float may be off.  [default: as the manifest of --repository says, else 0]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    file: Path,
    url: str,
    access: Access,
    repository: Path | None,
    version: str | None,
    provider: str,
    atol: float | None,
    as_json: bool,
) -> None:
    """Ask again what `normserve infer --record` has recorded, and compare the answers.

    Exit status: 0 if they agree, 1 if they do not or there is no answer.
    """
    try:
        recording = read_recording(file)
    except RecordInvalid as err:
        raise click.ClickException(str(err)) from err
    wanted = version or recording.record.version
    if repository is None:
        with connected(url, access) as client:
            again = _ask_service(client, recording, wanted, where=url)
    else:
        again = _run(repository, recording, wanted, ProviderPolicy(provider))
    expected = recording.sample.outputs
    exact = compare(expected, again.outputs, dict.fromkeys(expected, EXACTLY))
    allowed = _tolerances(expected, again, atol)
    judged = compare(expected, again.outputs, allowed)
    origin = list(_origin(recording, again))
    if as_json:
        click.echo(json.dumps(_document(again, exact, judged, origin)))
    else:
        _show(recording, again, exact, judged, origin)
    ctx.exit(0 if all(each.passed for each in judged) else 1)


def _ask_service(client: Any, recording: Recording, version: str, *, where: str) -> _Again:
    answer = ask(
        client, recording.record.model, recording.sample.inputs, version=version, provenance=True
    )
    return _Again(where, answer.outputs, answer.provenance, tolerances=None)


def _run(repository: Path, recording: Recording, version: str, policy: ProviderPolicy) -> _Again:
    # the service's packages take a while to import, and asking a service needs none of them
    from service.consistency.source import manifest_sha256
    from service.machine import normserve_version

    name = recording.record.model
    there = [folder for folder in find_versions(repository) if folder.name == name]
    folder = next((each for each in there if str(each.version) == version), None)
    if folder is None:
        others = ", ".join(str(each.version) for each in there) or "none"
        raise click.ClickException(
            f"'{repository}' has no version {version} of '{name}'; it has {others}."
        )
    try:
        manifest = read_bundle(folder.path).manifest if folder.has_manifest else None
        opened = open_model(folder.path / MODEL, policy=policy)
        outputs = opened.run(recording.sample.inputs, list(recording.sample.outputs))
        provenance = {
            "normserve_version": normserve_version(),
            "normserve_model_version": version,
            "normserve_model_sha256": Subject(model=folder.path / MODEL).sha256(),
            "normserve_provider": opened.provider,
            "normserve_manifest_sha256": manifest_sha256(folder.path),
        }
    except BundleError as err:
        raise click.ClickException(str(err)) from err
    return _Again(
        str(folder.path), outputs, provenance, manifest.tolerances if manifest is not None else None
    )


def _tolerances(
    expected: Mapping[str, np.ndarray], again: _Again, atol: float | None
) -> dict[str, Tolerance]:
    if atol is not None:
        try:
            allowed = Tolerance(atol=atol, rtol=0.0, source="--atol")
        except ValidationError as err:
            raise click.UsageError(f"--atol {atol} allows anything; give a number.") from err
        return dict.fromkeys(expected, allowed)
    return dict.fromkeys(expected, EXACTLY) | dict(again.tolerances or {})


def _origin(recording: Recording, again: _Again) -> Iterator[dict[str, Any]]:
    """How both answers came about, one field after the other."""
    before, now = recording.record.provenance, again.provenance
    for name in dict.fromkeys((*before, *now)):
        if name in _MEASURED or not name.startswith(_PREFIX):
            continue
        is_known = before.get(name) is not None and now.get(name) is not None
        yield {
            "name": name.removeprefix(_PREFIX),
            "recorded": before.get(name),
            "now": now.get(name),
            "same": before[name] == now[name] if is_known else None,
        }


def _document(
    again: _Again,
    exact: tuple[OutputComparison, ...],
    judged: tuple[OutputComparison, ...],
    origin: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "where": again.where,
        "agrees": all(each.passed for each in judged),
        "identical": all(each.passed for each in exact),
        "outputs": [
            each.model_dump(mode="json") | {"identical": same.passed}
            for each, same in zip(judged, exact, strict=True)
        ],
        "provenance": origin,
    }


def _show(
    recording: Recording,
    again: _Again,
    exact: tuple[OutputComparison, ...],
    judged: tuple[OutputComparison, ...],
    origin: list[dict[str, Any]],
) -> None:
    record = recording.record
    table = Table(
        title=escape(
            f"{record.model} version {record.version}, recorded {record.created:%Y-%m-%d %H:%M},"
            f" again at {again.where}"
        ),
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for heading in ("output", "answer", "largest difference", "allowed", "why not"):
        table.add_column(heading, overflow="fold")
    for each, same in zip(judged, exact, strict=True):
        verdict = "identical" if same.passed else "agrees" if each.passed else "differs"
        error = "-" if each.max_abs_error is None else f"{each.max_abs_error:.3g}"
        allowed = f"{each.tolerance.atol:.3g}"
        if each.tolerance.rtol:
            allowed += f" + {each.tolerance.rtol:.3g} of the value"
        table.add_row(escape(each.name), verdict, error, allowed, escape(each.reason))
    stdout.print(table)
    said = {True: "same", False: "differs", None: "unknown"}
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("how it came about", "", "recorded", "now"):
        table.add_column(heading, overflow="fold")
    for field in origin:
        values = ("-" if field[key] is None else str(field[key]) for key in ("recorded", "now"))
        table.add_row(field["name"], said[field["same"]], *map(escape, values))
    stdout.print(table)
