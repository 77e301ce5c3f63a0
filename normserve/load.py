"""``normserve load``: load a model of a running service, or load it again."""

import click

from normserve.remote import connected, url_option

__all__ = ["command"]


@click.command("load")
@click.argument("model")
@url_option
def command(*, model: str, url: str) -> None:
    """Load a model of a running service as its repository has it now."""
    with connected(url) as client:
        client.load_model(model)
    click.echo(f"{model}: loaded")
