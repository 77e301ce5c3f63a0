"""``normserve unload``: take a model of a running service out of it."""

import click

from normserve.remote import connected, url_option

__all__ = ["command"]


@click.command("unload")
@click.argument("model")
@url_option
def command(*, model: str, url: str) -> None:
    """Take a model out of a running service once its requests have finished."""
    with connected(url) as client:
        client.unload_model(model)
    click.echo(f"{model}: unloaded")
