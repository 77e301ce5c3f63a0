"""Which mode is each module in, and does it do what that mode says?

What would make the file compute something else (random numbers, batch norms that stay in training
mode) was refused before, by `exporters.scan`. Explained in ``docs/checks/mode.md``.
"""

from collections.abc import Iterable, Iterator
from functools import partial

from torch import nn

from bundle import Finding
from exporters.checks.subject import TorchSubject
from exporters.checks.words import counted, finding
from exporters.layers import statistics_of

__all__ = ["NAME", "check"]

NAME = "mode"

_finding = partial(finding, NAME)

_NAMED = 5


def check(subject: TorchSubject) -> tuple[Finding, ...]:
    """Everything that is not as one would think; one finding that says so where there is none."""
    model = subject.source.model
    remarks = (
        *_of_the_model(model),
        *_of_modules(model),
        *_stuck(subject),
        *_state(subject.converted.changing_buffers),
    )
    return remarks or (_finding("pass", f"the model was in eval mode{_dropouts(model)}"),)


def _of_the_model(model: nn.Module) -> Iterator[Finding]:
    if model.training:
        yield _finding(
            "warn",
            "the model was in training mode; what was exported is its eval mode",
            "call model.eval() before the export to say that this is meant",
        )


def _of_modules(model: nn.Module) -> Iterator[Finding]:
    """Modules in another mode than the model as a whole."""
    odd = {
        name: module
        for name, module in model.named_modules()
        if name and module.training != model.training and _has_a_mode(module)
    }
    if odd and not model.training:
        yield _finding(
            "warn",
            f"{_said(odd)} in training mode in a model in eval mode; what was exported is their"
            " eval mode",
            "call model.eval() on the whole model before the export",
        )
    trained = [
        name
        for name, module in odd.items()
        if model.training
        and statistics_of(module) is not None
        and any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    ]
    if trained:
        yield _finding(
            "warn",
            f"{_said(trained)} with frozen statistics whose scale and shift are still trained:"
            " what they learn belongs to statistics that do not move with the data",
            "freeze scale and shift too (requires_grad_(False)), or let the statistics move",
        )


def _stuck(subject: TorchSubject) -> Iterator[Finding]:
    allowed = subject.converted.batch_dependent
    if allowed:
        yield _finding(
            "warn",
            f"statistics of the batch are used at inference, as was allowed, by {_listed(allowed)}",
            "send rows that belong together in one request, and never batch across requests",
        )
    stuck = [name or "the model" for name in subject.source.stuck if name not in allowed]
    if stuck:
        yield _finding(
            "warn",
            f"{_said(stuck)} in training mode after model.eval(), without effect on what is"
            " computed",
            "let their train() pass the mode on",
        )


def _state(changing: Iterable[str]) -> Iterator[Finding]:
    if changing:
        yield _finding(
            "warn",
            f"calls in eval mode change {_listed(changing)}, which no output depends on; the file"
            " leaves that out",
            "switch it off in eval mode",
        )


def _has_a_mode(module: nn.Module) -> bool:
    """Whether a module does something of its own: containers follow what they hold."""
    return not any(True for _ in module.children())


def _dropouts(model: nn.Module) -> str:
    count = sum("Drop" in type(module).__name__ for module in model.modules())
    return f"; {counted(count, 'dropout layer')} without effect there" if count else ""


def _said(names: Iterable[str]) -> str:
    names = list(names)
    verb = "is" if len(names) == 1 else "are"
    return f"{_listed(names)} {verb}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + more
