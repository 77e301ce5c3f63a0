"""A client of a running service, whose errors are a person's. Asks nothing itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import click
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

__all__ = ["connected", "json_option", "url_option"]

url_option = click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    envvar="NORMSERVE_URL",
    help="Of the service, over HTTP.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")

_SECONDS = 300.0


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A client of the service at a URL.

    Raises:
        click.UsageError: the URL is none of HTTP.
        click.ClickException: there is no service, or it answers with an error.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        raise click.UsageError(f"'{url}' is no URL such as http://127.0.0.1:8000.")
    address = parts.netloc + parts.path.rstrip("/")
    with http.InferenceServerClient(
        address, ssl=parts.scheme == "https", network_timeout=_SECONDS
    ) as client:
        try:
            yield client
        except InferenceServerException as err:
            raise click.ClickException(f"{url}: {err.message()}") from err
        except OSError as err:
            raise click.ClickException(f"no service answers at {url}: {err}") from err
