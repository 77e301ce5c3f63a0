"""The ``normserve`` command. Each subcommand lives in a file of its own, loaded when it is called.

`serve` runs where there is no torch; a command whose extra is not installed says which one it is.
"""

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["main"]

# Idle OpenMP threads of torch spin by default; on busy cores that made exports many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_COMMANDS = {
    "axes": "Measure over which axes normalizations share statistics, and across which rows.",
    "bench": "Measure how quick a model is behind NormServe, and without it.",
    "demo": "Export, prove, serve and question every network of the zoo.",
    "diagnose": "Find the first layer that computes something else, and why.",
    "export": "Export PyTorch models to ONNX and prove that they compute the same.",
    "infer": "Ask a model of a running service.",
    "load": "Load a model of a running service, or load it again.",
    "models": "List the models of a running service.",
    "replay": "Ask again what `infer --record` kept, and compare the answers.",
    "serve": "Serve a model repository over HTTP and gRPC (Open Inference Protocol).",
    "status": "Say whether a running service is ready, and how much it was asked.",
    "train": "Train networks of the zoo on their real data.",
    "tune": "Measure how a model is run best on this machine, and write it into its configuration.",
    "unload": "Take a model out of a running service.",
    "validate": "Check bundles, repositories, ONNX files and PyTorch models; for CI.",
}
"""Each is ``command`` in the module of its name; what it does is said without loading it."""

_EXTRA_OF = {
    "jinja2": "export",
    "onnx_ir": "export",
    "onnxscript": "export",
    "safetensors": "export",
    "torch": "export",
    "PIL": "demo",
    "sklearn": "demo",
    "scipy": "demo",
    "statsmodels": "demo",
    "junitparser": "validate",
    "gevent": "validate",
    "geventhttpclient": "validate",
    "tritonclient": "validate",
    "onnxruntime": "cpu",
}


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage in what is imported: that is a twentieth of the time, and it stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class _LazyGroup(click.Group):
    """A group that imports a command when it is looked up."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        try:
            with _uncollected():
                module = importlib.import_module(f"normserve.{cmd_name}")
        except ModuleNotFoundError as err:
            extra = _EXTRA_OF.get((err.name or "").partition(".")[0])
            if extra is None:
                raise
            raise click.ClickException(
                f"'normserve {cmd_name}' needs the package '{err.name}', which is not installed;"
                f" install normserve[{extra}]."
            ) from err
        command: click.Command = module.command
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="normserve")
def main() -> None:
    """PyTorch models to production through ONNX without changing what they compute."""
