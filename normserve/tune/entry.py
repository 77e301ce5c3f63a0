"""``normserve tune``: the command line of the tuning. Measures nothing itself."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import click

from bundle import BundleError
from normserve.console import Bar, bar, stdout
from normserve.tune.config import write
from normserve.tune.errors import Untunable
from normserve.tune.evidence import Evidence
from normserve.tune.model import Limits, TunedModel
from normserve.tune.stand import Objective
from normserve.tune.table import said, trial_table
from normserve.tune.tuner import Tuner
from service.budget import Budget
from service.engine import ProcessWorkshop, ThreadWorkshop, Workshop, Zygote
from service.errors import EngineFailed, StartupError
from service.repository import VersionPolicy
from service.settings import Settings, load_settings

__all__ = ["command"]


@click.command("tune")
@click.argument("model")
@click.option(
    "--repository", help="The folder of the models.  [default: what `normserve serve` takes]"
)
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="What it may take; when it is over, nothing new is begun.",
)
@click.option(
    "--objective",
    type=click.Choice(["throughput", "latency"]),
    default="throughput",
    show_default=True,
    help="Answers a second of a server that is busy, or the time of one run that is alone.",
)
@click.option("--dry-run", is_flag=True, help="Write nothing into the repository.")
@click.option(
    "--json",
    "evidence_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE",
    help="Write what was measured there, too, whatever came of it.",
)
def command(
    *,
    model: str,
    repository: str | None,
    budget: float,
    objective: str,
    dry_run: bool,
    evidence_file: Path | None,
) -> None:
    """Measure how MODEL is run best on this machine, and write that into its config.pbtxt.

    Threads, runs at the same time, rows of a shared run, graph optimizations and other options of
    the session are varied. A way to run the model that does not answer right is refused, and
    nothing is written that is not better beyond noise.

    Settings of the service (docs/settings.md) are taken from the environment, as by `serve`.
    """
    try:
        settings = load_settings(repository=repository)
        tuned = _model(settings, model)
        with bar(f"tune {model}") as progress, _workshop(settings, tuned.limits) as workshop:
            evidence = asyncio.run(
                _tune(tuned, workshop, cast("Objective", objective), budget, progress)
            )
        stdout.print(trial_table(evidence))
        for line in said(evidence):
            stdout.print(line, markup=False, soft_wrap=True)
        if evidence_file is not None:
            evidence_file.write_text(evidence.model_dump_json(indent=1) + "\n")
        _keep(tuned, evidence, dry_run=dry_run)
    except (BundleError, EngineFailed, StartupError, Untunable) as err:
        raise click.ClickException(str(err)) from err
    except OSError as err:
        raise click.ClickException(f"'{err.filename}' cannot be written: {err.strerror}.") from err


async def _tune(
    model: TunedModel, workshop: Workshop, objective: Objective, budget_s: float, progress: Bar
) -> Evidence:
    loop = asyncio.get_running_loop()
    begun = loop.time()

    def say(message: str) -> None:
        done = min(int(loop.time() - begun), int(budget_s))
        progress.update(done, int(budget_s), message)

    tuner = Tuner(model, workshop, objective=objective, budget_s=budget_s, say=say)
    return await tuner.run()


def _keep(model: TunedModel, evidence: Evidence, *, dry_run: bool) -> None:
    if evidence.gain is None:
        stdout.print("nothing was written")
    elif dry_run:
        stdout.print("nothing was written: --dry-run")
    else:
        for path in write(model, evidence):
            stdout.print(f"written: {path}", markup=False, soft_wrap=True)
        stdout.print(f"a running server takes it up by `normserve load {model.folder.name}`")


def _model(settings: Settings, name: str) -> TunedModel:
    if not isinstance(settings.repository, Path):
        raise Untunable(
            f"'{settings.repository}' is no folder of this machine: tune a copy of the model, and"
            " put its config.pbtxt there."
        )
    limits = Limits(
        policy=settings.policy, budget=Budget.of(settings), max_rows=settings.max_batch_rows
    )
    default = VersionPolicy.of_setting(settings.version_policy)
    return TunedModel.of(settings.repository, name, default=default, limits=limits)


@contextmanager
def _workshop(settings: Settings, limits: Limits) -> Iterator[Workshop]:
    """What the service opens its models in."""
    with ExitStack() as stack:
        most = limits.budget.runs
        workshop: Workshop
        if settings.isolation == "thread":
            workshop = ThreadWorkshop(at_once=most, spinning=limits.budget.spinning)
        else:
            zygote = Zygote.launch()
            stack.callback(zygote.close)
            workshop = ProcessWorkshop(
                zygote,
                at_once=most,
                load_timeout_s=settings.load_timeout_s,
                run_timeout_s=settings.run_timeout_s,
                load_bytes=settings.load_memory_bytes,
                spinning=limits.budget.spinning,
            )
        stack.callback(workshop.close)
        yield workshop
