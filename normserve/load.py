"""``normserve load``: load a model of a running service, or load it again."""

import click

from normserve.remote import Access, access_options, connected, url_option

__all__ = ["command"]


@click.command("load")
@click.argument("model")
@url_option
@access_options
def command(*, model: str, url: str, access: Access) -> None:
    """Load a model of a running service as its repository has it now."""
    with connected(url, access) as client:
        client.load_model(model)
    click.echo(f"{model}: loaded")
