"""``normserve unload``: take a model of a running service out of it."""

import click

from normserve.remote import Access, access_options, connected, url_option

__all__ = ["command"]


@click.command("unload")
@click.argument("model")
@url_option
@access_options
def command(*, model: str, url: str, access: Access) -> None:
    """Take a model out of a running service once its requests have finished."""
    with connected(url, access) as client:
        client.unload_model(model)
    click.echo(f"{model}: unloaded")
