"""``normserve bench``: how quick a model is behind NormServe, and without it."""

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from bundle import BundleError
from normserve.bench.measure import Measured, bench, median, spread
from normserve.bench.server import ServerFailed
from normserve.bench.shots import Refused, Target
from normserve.bench.subject import Local, NoModel, WrongAnswer, local, remote
from normserve.console import stderr, stdout

__all__ = ["command"]

_CONCURRENCIES = (1, 16, 64)


@click.command("bench")
@click.argument("model")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the model is: a server is started for it, and the runtime alone is measured too."
    "  [default: model_repository, unless there is a URL]",
)
@click.option("--url", help="Of a server that runs, instead: http://host:8000.")
@click.option("--grpc", help="Host and port of that server's gRPC, to measure it too.")
@click.option("--key", envvar="NORMSERVE_KEY", help="That it asks for (better as NORMSERVE_KEY).")
@click.option("--version", type=click.IntRange(min=1), help="Of the model.  [default: the latest]")
@click.option(
    "--rows", type=click.IntRange(min=1), default=1, show_default=True, help="Of a request."
)
@click.option(
    "--concurrency",
    "concurrencies",
    type=click.IntRange(min=1),
    multiple=True,
    default=_CONCURRENCIES,
    show_default=True,
    help="Requests at once; may be given again.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Of load, for each line of the table and each round.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Of everything."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write every round into this file.",
)
def command(
    *,
    model: str,
    repository: Path | None,
    url: str | None,
    grpc: str | None,
    key: str | None,
    version: int | None,
    rows: int,
    concurrencies: Sequence[int],
    seconds: float,
    rounds: int,
    json_file: Path | None,
) -> None:
    """Measure a model behind NormServe, and ONNX Runtime alone: throughput, latency, CPU.

    Answers are held against the model's own before anything is timed. Only ratios within one run
    mean something. Linux only.
    """
    if url is not None and repository is not None:
        raise click.UsageError("give a repository or the URL of a server, not both.")
    if url is None and grpc is not None:
        raise click.UsageError("--grpc belongs to --url; a server over a repository has both.")
    if url is not None and not url.startswith("http://"):
        raise click.UsageError(f"'{url}' is no URL such as http://127.0.0.1:8000.")

    def shown(over: Sequence[int]) -> Iterable[int]:
        return track(over, description="measuring", console=stderr)

    try:
        with ExitStack() as stack:
            found = None
            if url is None:
                home = repository or Path("model_repository")
                found = Local.find(home, model, version=version, rows=rows)
                with stderr.status("starting a server, and asking whether requests share runs"):
                    asked = stack.enter_context(local(found))
            else:
                target = Target(url.rstrip("/"), grpc)
                asked = remote(target, model, version=str(version or ""), rows=rows, key=key)
            measured = bench(
                model,
                asked,
                model=found,
                concurrencies=concurrencies,
                rounds=rounds,
                seconds=seconds,
                track=shown,
            )
    except (BundleError, NoModel, Refused, ServerFailed, WrongAnswer) as err:
        raise click.ClickException(str(err)) from err
    stdout.print(_table(measured))
    for remark in _remarks(measured):
        stdout.print(remark)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(measured), indent=1) + "\n")


def _table(measured: Measured) -> Table:
    """The medians of all rounds."""
    bare = median(each.per_s for each in measured.bare)
    table = Table(title=escape(measured.model), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for heading in (
        "at once",
        "requests/s",
        "±",
        "of alone",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "failed",
    ):
        table.add_column(heading, justify="right")
    if measured.bare:
        rates = [each.per_s for each in measured.bare]
        best = measured.bare[0]
        table.add_row(
            f"ONNX Runtime alone ({best.threads} threads, batches of {best.batch})",
            "",
            f"{bare:,.0f}",
            f"{spread(rates):.0%}",
            "1.00",
            f"{median(each.alone_ms for each in measured.bare):.2f}",
        )
    for row in measured.rows:
        rates = [load.per_s for load in row.loads]
        cpu = [load.cpu_ms for load in row.loads if load.cpu_ms is not None]
        table.add_row(
            row.form,
            str(row.concurrency),
            f"{median(rates):,.0f}",
            f"{spread(rates):.0%}",
            f"{median(rates) / bare:.2f}" if measured.bare else "",
            f"{median(load.p50_ms for load in row.loads):.2f}",
            f"{median(load.p99_ms for load in row.loads):.2f}",
            f"{median(cpu):.2f}" if cpu else "",
            str(sum(load.failed for load in row.loads)),
        )
    return table


def _remarks(measured: Measured) -> Iterable[str]:
    yield "±: from the slowest to the quickest round, of their median"
    if measured.shared_rows is not None:
        yield (
            f"requests are computed together, up to {measured.shared_rows} rows"
            if measured.shared_rows > 1
            else "requests are computed one by one: see normserve serve's /consistency for why"
        )
    if "h2load" not in measured.generator:
        yield (
            "[yellow]h2load is not installed (Debian's nghttp2-client): the load came from a client"
            " in Python, which may be the bottleneck and takes processor time from the server[/]"
        )
