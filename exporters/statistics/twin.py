"""A copy of a model whose normalization layers can be put in training mode, and only they.

Not for: measuring what that changes. Dropout, stochastic depth and whatever else differs between
the modes stay in eval mode, so that a difference is the normalization's.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from exporters.calls import Call, Flat
from exporters.errors import ExportError, InputsInvalid, first_line
from exporters.layers import is_norm
from exporters.prepare import copy_in_eval, unwrap
from exporters.statistics.distance import largest_distance
from exporters.statistics.rows import Batch

__all__ = ["Seen", "Twin", "has_computed_weights"]

Seen = Callable[[str, tuple[Any, ...], dict[str, Any], Any], None]
"""Is told of a layer's name, arguments, keyword arguments and what it returned."""


class Twin:
    """A copy in eval mode.

    Attributes:
        model: the copy.
        layers: the normalization layers of data by name, in the order of the model's modules.
    """

    def __init__(self, model: nn.Module, call: Call) -> None:
        self.model = copy_in_eval(unwrap(model))
        self.layers = {
            name: module for name, module in self.model.named_modules() if is_norm(module)
        }
        self._flat = Flat(self.model, call)
        self._switched = _those_that_train(self.model)

    @contextmanager
    def watched(self, see: Seen, also: Mapping[str, nn.Module] | None = None) -> Iterator[None]:
        """While it lasts, every call of a normalization layer is shown to `see`.

        Args:
            see: is told of it.
            also: further modules of the copy, by name.
        """
        handles = [
            module.register_forward_hook(
                lambda module, args, kwargs, output, name=name: see(name, args, kwargs, output),
                with_kwargs=True,
            )
            for name, module in {**self.layers, **(also or {})}.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, tensors: Batch) -> dict[str, torch.Tensor]:
        """The outputs by name.

        Raises:
            InputsInvalid: the model raises.
        """
        try:
            return self._flat.run(tensors)
        except ExportError:
            raise
        # The user's forward may raise anything.
        except Exception as err:
            raise InputsInvalid(
                f"the model raises on calibration data of shape {tuple(tensors[0].shape)}:"
                f" {type(err).__name__}: {first_line(err)}"
            ) from err

    def is_random(self, tensors: Batch) -> bool:
        """Whether it gives another answer the second time in eval mode.

        Raises:
            InputsInvalid: the model raises.
        """
        return largest_distance(self.run(tensors), self.run(tensors)) > 0

    @contextmanager
    def training(self, layer: str | None = None) -> Iterator[None]:
        """While it lasts, the normalization layers are as ``model.train()`` leaves them.

        Those that a model keeps in eval mode by a ``train()`` of its own stay there. At the end
        every mode and every buffer is what it was.

        Args:
            layer: the one whose buffers are to be kept, where no other is run.
        """
        run = self.model if layer is None else self.layers[layer]
        buffers = [
            (module, name, buffer.clone())
            for module in run.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        for module in self._switched:
            module.training = True
        try:
            yield
        finally:
            for module in self._switched:
                module.training = False
            for module, name, value in buffers:
                setattr(module, name, value)  # not copy_: some classes put a new tensor there


def has_computed_weights(module: nn.Module) -> bool:
    """Whether a module computes its weights from other parameters (weight norm, spectral norm)."""
    return parametrize.is_parametrized(module) or any(
        isinstance(hook, WeightNorm | SpectralNorm)
        for hook in module._forward_pre_hooks.values()  # noqa: SLF001 - torch has no other list
    )


def _those_that_train(model: nn.Module) -> tuple[nn.Module, ...]:
    model.train()
    found = tuple(
        module for module in model.modules() if module.training and _has_two_modes(module)
    )
    model.eval()
    return found


def _has_two_modes(module: nn.Module) -> bool:
    """Whether a module normalizes: data, or (spectral norm iterates in training) a weight."""
    return (
        is_norm(module)
        or isinstance(module, _SpectralNorm)
        or any(isinstance(hook, SpectralNorm) for hook in module._forward_pre_hooks.values())  # noqa: SLF001 - torch has no other list
    )
