"""``normserve status``: whether a running service is ready, and how much it was asked."""

import json

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from normserve.console import stdout
from normserve.remote import Access, access_options, connected, json_option, url_option

__all__ = ["command"]

_NS_A_MS = 1e6


@click.command("status")
@url_option
@access_options
@json_option
@click.pass_context
def command(ctx: click.Context, /, *, url: str, access: Access, as_json: bool) -> None:
    """Say whether a running service is ready, and how much each model was asked.

    Exit status: 0 if it is ready, 1 if it is not.
    """
    with connected(url, access) as client:
        server = client.get_server_metadata()
        is_ready = client.is_server_ready()
        statistics = client.get_inference_statistics()["model_stats"]
    if as_json:
        click.echo(json.dumps({"server": server, "ready": is_ready, "model_stats": statistics}))
    else:
        ready = "ready" if is_ready else "not ready"
        stdout.print(escape(f"{server['name']} {server['version']} at {url}: {ready}"))
        table = Table(box=box.SIMPLE_HEAD)
        for heading in ("model", "version"):
            table.add_column(heading, overflow="fold")
        for heading in ("answered", "failed", "ms in the queue", "ms in the model"):
            table.add_column(heading, justify="right")
        for each in statistics:
            seen = each["inference_stats"]
            table.add_row(
                escape(each["name"]),
                each["version"],
                str(seen["success"]["count"]),
                str(seen["fail"]["count"]),
                _mean(seen["queue"]),
                _mean(seen["compute_infer"]),
            )
        stdout.print(table)
    ctx.exit(0 if is_ready else 1)


def _mean(duration: dict[str, int]) -> str:
    if not duration["count"]:
        return "-"
    return f"{duration['ns'] / duration['count'] / _NS_A_MS:.3f}"
