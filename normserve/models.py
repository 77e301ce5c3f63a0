"""``normserve models``: what a running service serves."""

import json

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from normserve.console import stdout
from normserve.remote import Access, access_options, connected, json_option, url_option

__all__ = ["command"]


@click.command("models")
@url_option
@access_options
@json_option
def command(*, url: str, access: Access, as_json: bool) -> None:
    """List the models of a running service, each with its state and what it takes and gives."""
    with connected(url, access) as client:
        entries = client.get_model_repository_index()
        for entry in entries:
            if entry["state"] == "READY":
                entry |= {
                    key: client.get_model_metadata(entry["name"], entry["version"])[key]
                    for key in ("inputs", "outputs")
                }
    if as_json:
        click.echo(json.dumps(entries))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("model", "version", "state", "takes", "gives"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        described = [
            "\n".join(_tensor(spec) for spec in entry.get(key, ())) for key in ("inputs", "outputs")
        ]
        state = entry["state"] + (f": {entry['reason']}" if entry["reason"] else "")
        cells = (entry["name"], entry["version"], state, *described)
        table.add_row(*map(escape, cells))
    stdout.print(table)


def _tensor(spec: dict[str, object]) -> str:
    shape = spec["shape"]
    sizes = ", ".join("…" if size == -1 else str(size) for size in shape)  # type: ignore[attr-defined]  # a list of JSON
    return f"{spec['name']}: {spec['datatype']} [{sizes}]"
