"""``normserve serve``: settings from the command line, then the service."""

import click

from bundle import ProviderPolicy
from normserve.imports import absent

with absent("rich"):  # structlog imports it, for what this log does not show
    from service.errors import StartupError
    from service.server import serve
    from service.settings import load_settings

__all__ = ["command"]


class _CannotStartError(click.ClickException):
    exit_code = 2


@click.command("serve")
@click.option(
    "--repository",
    help="The folder of the models, or its URL: s3://, gs://, az://, https://."
    "  [default: model_repository]",
)
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--http-port", type=int, help="The port of HTTP; 0 takes a free one.  [default: 8000]"
)
@click.option(
    "--http-workers",
    type=int,
    help="Processes that have the connections of HTTP, in front of the one that computes."
    "  [default: 1, that one itself]",
)
@click.option(
    "--grpc-port", type=int, help="The port of gRPC; 0 takes a free one.  [default: 8001]"
)
@click.option(
    "--metrics-port", help="The port of the metrics; 0 takes a free one, or none.  [default: 8002]"
)
@click.option(
    "--model-control",
    type=click.Choice(["none", "explicit", "poll"]),
    help="Who may change the models: clients, they and whoever changes the repository (poll), or"
    " nobody.  [default: explicit]",
)
@click.option(
    "--poll-seconds", type=float, help="Between two looks at the repository.  [default: 15]"
)
@click.option(
    "--version-policy",
    help="The versions that are served where config.pbtxt does not say: latest, a number of the"
    " latest, or all.  [default: latest]",
)
@click.option(
    "--provider",
    type=click.Choice(ProviderPolicy.spellings()),
    help="Where models run: a provider that is required, one that is preferred, or the quickest"
    " that there is (auto).  [default: auto]",
)
@click.option(
    "--threads",
    type=int,
    help="Threads of one run, 0 for every core; there are as many runs at the same time as they"
    " leave cores for.  [default: 1]",
)
@click.option(
    "--cores",
    type=float,
    help="Cores that models may use.  [default: what affinity and the container's quota leave]",
)
@click.option(
    "--log-format", type=click.Choice(["console", "json"]), help="How a line of the log looks."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="The least important lines that are logged.",
)
def command(**given: object) -> None:
    """Serve a model repository over HTTP and gRPC (Open Inference Protocol).

    Every setting, these and the rest (docs/settings.md), can also come from the environment as
    NORMSERVE_ and its name; an option wins.
    """
    try:
        with absent("pydantic.v1"):  # FastAPI imports it, to ask whether models are of pydantic 1
            serve(load_settings(**given))
    except StartupError as err:
        raise _CannotStartError(str(err)) from err
