"""``normserve demo``: the main job on the whole zoo, and a table that says whether it agreed.

Exports every network, starts the service as its own process, sends every held-out split through
real HTTP requests and computes each network's metric from the answers.
"""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import tritonclient.http as http
from rich import box
from rich.markup import escape
from rich.table import Table

from bundle import Bundle, Datatype, OutputComparison, compare
from models import SCENES, runner
from models.scene import Arrays, Scene
from normserve.console import NORM_LEGEND, bar, norm_table, stderr, stdout
from normserve.export import export_scene

__all__ = ["command"]

_START_SECONDS = 120
_OTHER_PORTS = ("--grpc-port", "0", "--metrics-port", "none")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one network did: the same held-out split in PyTorch and over HTTP."""

    scene: Scene
    in_torch: float
    over_http: float
    worst: OutputComparison
    requests: int
    seconds: float

    @property
    def agreed(self) -> bool:
        """Whether every answer is within its tolerance and the metric is the same."""
        digits = self.scene.metric.format
        return self.worst.passed and digits(self.in_torch) == digits(self.over_http)


@click.command("demo")
@click.option("--once", is_flag=True, help="Stop the service at the end.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=Path("model_repository"),
    show_default=True,
    help="Where the bundles are written.",
)
@click.option("--port", type=int, default=0, help="The service's port.  [default: a free one]")
def command(*, once: bool, repository: Path, port: int) -> None:
    """Export, prove, serve and question every network of the zoo.

    Exit status 0 only if every answer over HTTP agreed with PyTorch.
    """
    bundles = _export(repository)
    for bundle in bundles.values():
        stdout.print(norm_table(bundle))
        stdout.print()
    stdout.print(NORM_LEGEND)
    stdout.print()
    with _service(repository, port=port) as (url, process):
        outcomes = _question(bundles, url)
        stdout.print(_table(outcomes))
        disagreed = [outcome for outcome in outcomes if not outcome.agreed]
        for outcome in disagreed:
            stdout.print(f"{outcome.scene.name}: {outcome.worst.reason or 'the metric differs'}")
        if disagreed:
            raise click.ClickException(f"{len(disagreed)} of {len(outcomes)} did not agree.")
        stdout.print(f"All {len(outcomes)} networks answer over HTTP what they answer in PyTorch.")
        if not once:
            stdout.print(f"The service is at http://{url} (its pages at /docs); Ctrl-C stops it.")
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()


def _export(repository: Path) -> dict[str, Bundle]:
    bundles = {}
    with bar("exporting") as progress:
        for done, scene in enumerate(SCENES.values()):

            def show(stage: str, name: str = scene.name) -> None:
                progress.stage(f"{name}: {stage}")

            progress.update(done, len(SCENES), scene.name)
            bundles[scene.name] = export_scene(
                scene, repository=repository, overwrite=True, progress=show
            )
        progress.update(len(SCENES), len(SCENES), "done")
    return bundles


@contextmanager
def _service(repository: Path, *, port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The service in a process of its own, ready; stopped at the end."""
    url = f"127.0.0.1:{port or _free_port()}"
    command = [sys.executable, "-m", "normserve", "serve", "--repository", str(repository)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - the project's own command
            [*command, "--http-port", url.rpartition(":")[2], *_OTHER_PORTS],
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(url, process)
            yield url, process
        except click.ClickException:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()
            wrong = [line for line in lines if "status=200" not in line]
            stderr.print(escape("\n".join(["what the service logged:", *wrong[-20:]])))
            raise
        finally:
            process.terminate()
            process.wait()


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    client = http.InferenceServerClient(url)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise click.ClickException(f"the service stopped with status {process.returncode}.")
        with contextlib.suppress(OSError):
            if client.is_server_ready():
                return
        time.sleep(0.1)
    raise click.ClickException(f"the service was not ready after {_START_SECONDS} s.")


def _question(bundles: dict[str, Bundle], url: str) -> list[Outcome]:
    client = http.InferenceServerClient(url)
    outcomes = []
    with bar("asking over HTTP") as progress:
        for done, (name, bundle) in enumerate(bundles.items()):
            progress.update(done, len(bundles), name)
            outcomes.append(_ask(SCENES[name], bundle, client))
        progress.update(len(bundles), len(bundles), "done")
    return outcomes


def _ask(scene: Scene, bundle: Bundle, client: http.InferenceServerClient) -> Outcome:
    test_set = scene.test_set()
    in_torch = runner(scene.load(), scene)
    wanted = [in_torch(batch) for batch in test_set.batches]
    began = time.perf_counter()
    answers = [_infer(client, bundle, batch) for batch in test_set.batches]
    seconds = time.perf_counter() - began
    # torch's own float32 answer is as far from the truth as the served one may be
    comparisons = [
        comparison
        for expected, actual in zip(wanted, answers, strict=True)
        for comparison in compare(expected, actual, bundle.manifest.tolerances)
    ]
    return Outcome(
        scene=scene,
        in_torch=scene.metric.compute(wanted, test_set),
        over_http=scene.metric.compute(answers, test_set),
        worst=max(comparisons, key=lambda each: (not each.passed, each.max_abs_error or 0.0)),
        requests=len(test_set.batches),
        seconds=seconds,
    )


def _infer(client: http.InferenceServerClient, bundle: Bundle, batch: Arrays) -> Arrays:
    inputs = []
    for spec in bundle.manifest.inputs:
        array = np.asarray(batch[spec.name])
        tensor = http.InferInput(spec.name, array.shape, Datatype.from_numpy(array.dtype))
        inputs.append(tensor.set_data_from_numpy(array))
    result = client.infer(bundle.manifest.name, inputs)
    return {spec.name: result.as_numpy(spec.name) for spec in bundle.manifest.outputs}


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(
        title="Held-out data through PyTorch and through HTTP",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption="error: the largest difference between an answer over HTTP and PyTorch's",
        caption_justify="left",
    )
    for heading in ("model", "normalization"):
        table.add_column(heading, no_wrap=True)
    table.add_column("metric", min_width=20)
    for heading in ("PyTorch", "HTTP", "error", "tolerance", "requests/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("agreed", no_wrap=True, min_width=6)
    for outcome in outcomes:
        metric, worst = outcome.scene.metric, outcome.worst
        table.add_row(
            outcome.scene.name,
            outcome.scene.normalization,
            metric.name,
            metric.format(outcome.in_torch),
            metric.format(outcome.over_http),
            "-" if worst.max_abs_error is None else f"{worst.max_abs_error:.1e}",
            f"{worst.tolerance.atol:.1e}",
            f"{outcome.requests / outcome.seconds:.0f}",
            "yes" if outcome.agreed else "NO",
        )
    return table


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
