"""``normserve infer``: ask a model of a running service."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from bundle import Datatype, Sample
from normserve.console import stdout
from normserve.recording import Record, Recording, specs_of, write_recording
from normserve.remote import (
    Access,
    access_options,
    ask,
    connected,
    json_option,
    read_inputs,
    url_option,
)

__all__ = ["command"]

_SHOWN = 8


@click.command("infer")
@click.argument("model")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="JSON, or @FILE: .npy, .json, an image, text. Without NAME= where there is one input.",
)
@click.option("--version", help="Of the model.  [default: the latest]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each output into this folder: NAME.npy, text as NAME.json.",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep request and answer in this file, for `normserve replay`.",
)
@url_option
@access_options
@json_option
def command(
    *,
    model: str,
    inputs: tuple[str, ...],
    version: str | None,
    output: Path | None,
    record: Path | None,
    url: str,
    access: Access,
    as_json: bool,
) -> None:
    """Ask a model of a running service, and show what it answers."""
    with connected(url, access) as client:
        metadata = client.get_model_metadata(model, version or "")
        arrays = read_inputs(inputs, metadata["inputs"])
        answer = ask(client, model, arrays, version=version or "", provenance=record is not None)
    answers = answer.outputs
    if record is not None:
        kept = Record(
            created=datetime.now(UTC),
            model=model,
            version=answer.version,
            inputs=specs_of(arrays),
            outputs=specs_of(answers),
            provenance=dict(answer.provenance),
        )
        try:
            write_recording(record, Recording(kept, Sample(arrays, answers)))
        except OSError as err:
            raise click.ClickException(f"'{record}' cannot be written: {err.strerror}.") from err
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name, array in answers.items():
            _write(output / Path(name).name, array)
    if as_json:
        click.echo(json.dumps({name: _plain(array) for name, array in answers.items()}))
        return
    table = Table(
        title=f"{escape(model)} version {answer.version}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    for heading in ("output", "datatype", "shape", "values"):
        table.add_column(heading, overflow="fold")
    for name, array in answers.items():
        shape = ", ".join(map(str, array.shape))
        datatype = Datatype.from_numpy(array.dtype)
        table.add_row(escape(name), datatype, shape, escape(_said(array)))
    stdout.print(table)


def _write(path: Path, array: np.ndarray) -> None:
    """As ``.npy``; text, which that has no portable form for, as ``.json``."""
    if array.dtype == object:
        path.with_name(f"{path.name}.json").write_text(json.dumps(_plain(array)))
    else:
        np.save(path.with_name(f"{path.name}.npy"), array)


def _plain(array: np.ndarray) -> Any:
    if array.dtype == object:
        return np.asarray(np.frompyfunc(_text, 1, 1)(array), dtype=object).tolist()
    # bfloat16 is no number to JSON
    return array.astype(np.float64).tolist() if array.dtype.kind == "V" else array.tolist()


def _said(array: np.ndarray) -> str:
    flat = array.ravel()
    shown = [_text(item) if array.dtype == object else f"{item:.6g}" for item in flat[:_SHOWN]]
    if array.dtype.kind in "iub":
        shown = [str(item) for item in flat[:_SHOWN]]
    return ", ".join(shown) + (" …" if flat.size > _SHOWN else "")


def _text(item: bytes | str) -> str:
    return item.decode(errors="backslashreplace") if isinstance(item, bytes) else str(item)
