"""A client of a running service, whose errors are a person's. Asks nothing itself."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import gevent.ssl
import tritonclient.http as http
from geventhttpclient.response import HTTPParseError
from tritonclient.utils import InferenceServerException

__all__ = ["Access", "access_options", "connected", "json_option", "url_option"]

url_option = click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    envvar="NORMSERVE_URL",
    help="Of the service, over HTTP or HTTPS.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")

_SECONDS = 300.0
_NO_JSON = "while decoding the response"  # tritonclient's words
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a service that is not open wants to see, and what it must show itself.

    Attributes:
        key: that the service asks for.
        ca: certificates (PEM) of which one must have signed the service's; those that this machine
            trusts, if left out.
        certificate: this client's own and its private key (PEM), where the service asks for it.
    """

    key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    certificate: Path | None = None


def access_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `Access`, which the command is given as ``access``."""

    @click.option(
        "--key", envvar="NORMSERVE_KEY", help="That the service asks for (better as NORMSERVE_KEY)."
    )
    @click.option(
        "--ca", type=_FILE, envvar="NORMSERVE_CA", help="Certificates to trust for HTTPS (PEM)."
    )
    @click.option(
        "--certificate",
        type=_FILE,
        envvar="NORMSERVE_CERTIFICATE",
        help="This client's certificate and key, for a service that asks for it (PEM).",
    )
    @functools.wraps(function)
    def command(
        *args: Any, key: str | None, ca: Path | None, certificate: Path | None, **given: Any
    ) -> Any:
        return function(*args, access=Access(key=key, ca=ca, certificate=certificate), **given)

    return command


@contextmanager
def connected(url: str, access: Access | None = None) -> Iterator[Any]:
    """A client of the service at a URL.

    Raises:
        click.UsageError: the URL is none of HTTP, or a certificate is none.
        click.ClickException: there is no service, or it answers with an error.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
        raise click.UsageError(f"'{url}' is no URL such as http://127.0.0.1:8000.")
    access = access or Access()
    with _client(parts.netloc + parts.path.rstrip("/"), parts.scheme, access) as client:
        if access.key is not None:
            client.register_plugin(_Bearer(access.key))
        try:
            yield client
        except InferenceServerException as err:
            raise click.ClickException(f"{url}: {_told(err)}") from err
        except (OSError, HTTPParseError) as err:
            raise click.ClickException(f"no service answers at {url}: {err}") from err


def _told(error: InferenceServerException) -> str:
    message = str(error.message())
    if _NO_JSON in message:  # and then the whole page of whatever is there
        return "what answers there is no service of the Open Inference Protocol"
    return message


class _Bearer(http.InferenceServerClientPlugin):  # type: ignore[misc]  # tritonclient has no types
    """Shows a key with every request."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: Any) -> None:
        request.headers["authorization"] = f"Bearer {self._key}"


def _client(address: str, scheme: str, access: Access) -> Any:
    if scheme == "http":
        return http.InferenceServerClient(address, network_timeout=_SECONDS)
    try:
        context = gevent.ssl.create_default_context(cafile=access.ca)
        if access.certificate is not None:
            context.load_cert_chain(access.certificate)
    except OSError as err:
        raise click.UsageError(f"a certificate cannot be used: {err}.") from err
    return http.InferenceServerClient(
        address, ssl=True, ssl_context_factory=lambda **_: context, network_timeout=_SECONDS
    )
