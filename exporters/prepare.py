"""Copies of the user's model, and what is done to a copy before it is traced.

Not for: what tracing shows (`exporters.scan`), or rewriting the traced program.

A copy is what ``model.eval()`` makes of it. Re-parametrized weights (weight norm, Salimans & Kingma
2016, https://arxiv.org/abs/1602.07868; spectral norm, Miyato et al. 2018,
https://arxiv.org/abs/1802.05957; any other of ``torch.nn.utils.parametrize``) are functions of
parameters only: they are computed once, in float64, and rounded once.
"""

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from exporters.errors import InputsInvalid, ModelNotCopyable, first_line

__all__ = [
    "MergedWeight",
    "copy_in_eval",
    "merge_weights",
    "quiet_state",
    "unwrap",
]


@dataclass(frozen=True, slots=True)
class MergedWeight:
    """A weight that was computed from others at every call and is now a parameter.

    Attributes:
        module: the qualified name of the layer that owns it ("" for the model itself).
        parameter: its name there (``weight``, ``weight_hh_l0`` …).
        kind: what computed it (``WeightNorm``, ``SpectralNorm``, a parametrization's class).
    """

    module: str
    parameter: str
    kind: str

    @property
    def name(self) -> str:
        """The qualified name of the weight."""
        return f"{self.module}.{self.parameter}".lstrip(".")


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside ``DataParallel``, ``DistributedDataParallel`` or ``torch.compile``.

    Raises:
        InputsInvalid: the model is no module that can be traced.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise InputsInvalid(
            "the model is a TorchScript module, whose Python source is gone; export the nn.Module"
            " that it was made of."
        )
    if not isinstance(model, nn.Module):
        raise InputsInvalid(f"the model is a {type(model).__name__}; it must be an nn.Module.")
    inner = getattr(model, "_orig_mod", None)  # what torch.compile calls the module it wraps
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = model.module
    return unwrap(inner) if isinstance(inner, nn.Module) else model


def copy_in_eval(model: nn.Module) -> nn.Module:
    """A copy on the CPU, as ``model.eval()`` leaves it, without gradients.

    ``eval()`` and not ``training = False`` module by module: what a model that overrides
    ``train()`` keeps in training mode, it would also keep there in the user's own hands.

    Raises:
        ModelNotCopyable: Python cannot copy it, or a parameter has no values yet.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta or nn.parameter.is_lazy(tensor):
            raise ModelNotCopyable(
                f"'{name}' has no values yet (a lazy or meta tensor); run the model once, or load"
                " its checkpoint, before it is exported."
            )
    try:
        twin = _deep_copy(model)
    except (TypeError, RuntimeError, AttributeError, NotImplementedError, ValueError) as err:
        raise ModelNotCopyable(
            f"{type(model).__name__} cannot be copied ({first_line(err)}); exporting works on a"
            " copy. Give its class a __deepcopy__, or take what cannot be copied out of it."
        ) from err
    # what these give back is not used: a model that overrides one need not return itself
    twin.cpu()
    twin.requires_grad_(requires_grad=False)
    twin.eval()
    return twin


def merge_weights(model: nn.Module) -> tuple[MergedWeight, ...]:
    """Replace every re-parametrized weight by its value, in place.

    Modules in training mode are left alone: their spectral norm moves with every call.

    Returns:
        The weights that were merged, in the order of the modules.
    """
    merged: list[MergedWeight] = []
    for name, module in list(model.named_modules()):
        if module.training or isinstance(module, parametrize.ParametrizationList):
            continue
        hooked, parametrized = _hooked(module), _parametrized(module)
        values = _in_float64(module, (*hooked, *parametrized))
        for parameter, kind in hooked.items():
            remover = remove_weight_norm if kind == WeightNorm.__name__ else remove_spectral_norm
            remover(module, parameter)
        if parametrized:
            _leave_parametrized_class(module)
        for parameter, value in values.items():
            setattr(module, parameter, nn.Parameter(value, requires_grad=False))
            kind = {**hooked, **parametrized}[parameter]
            merged.append(MergedWeight(name, parameter, kind))
    return tuple(merged)


@contextmanager
def quiet_state() -> Iterator[None]:
    """Leave no trace in the process: random generators stand where they stood, no gradients.

    Within, encoder layers compute as they are written: the fast path that torch takes in eval mode
    makes zeros of padded tokens, which neither training nor a file does.
    """
    python, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        with torch.random.fork_rng(), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=is_fast)
        random.setstate(python)
        np.random.set_state(numpy_state)  # noqa: NPY002 - the global one is what a model may draw from


def _deep_copy(model: nn.Module) -> nn.Module:
    # A tensor that autograd computed (old weight norm keeps one as an attribute) refuses to be
    # copied; its value is all that a copy needs.
    memo: dict[int, object] = {id(t): t.detach().clone() for t in _computed_tensors(model)}
    return copy.deepcopy(model, memo)


def _computed_tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    for module in model.modules():
        for value in vars(module).values():
            members = value if isinstance(value, list | tuple) else (value,)
            for member in members:
                if isinstance(member, torch.Tensor) and not member.is_leaf:
                    yield member


def _hooked(module: nn.Module) -> dict[str, str]:
    """Weights of the older, hook-based weight norm and spectral norm: parameter → kind."""
    return {
        hook.name: type(hook).__name__
        for hook in module._forward_pre_hooks.values()  # noqa: SLF001 - torch has no other list
        if isinstance(hook, WeightNorm | SpectralNorm)
    }


def _parametrized(module: nn.Module) -> dict[str, str]:
    """Parametrized weights: parameter → kind (torch's own classes are called ``_WeightNorm`` …)."""
    if not parametrize.is_parametrized(module):
        return {}
    parametrizations = module.get_submodule("parametrizations")
    return {
        parameter: ", ".join(type(step).__name__.lstrip("_") for step in steps.children())
        for parameter, steps in parametrizations.named_children()
    }


def _in_float64(module: nn.Module, parameters: Iterable[str]) -> dict[str, torch.Tensor]:
    """The values of re-parametrized weights, computed in float64 and rounded to their own type."""
    wanted = tuple(parameters)
    if not wanted:
        return {}
    wide = _deep_copy(module).double()
    for hook in list(wide._forward_pre_hooks.values()):  # noqa: SLF001 - torch has no other list
        if isinstance(hook, WeightNorm | SpectralNorm):
            hook(wide, ())  # sets the weight as it does before each call
    return {
        parameter: getattr(wide, parameter).detach().to(getattr(module, parameter).dtype)
        for parameter in wanted
    }


def _leave_parametrized_class(module: nn.Module) -> None:
    """Give a parametrized module its own class back.

    Not ``remove_parametrizations``: that deletes the property from the class, which a copy shares
    with the module that it was copied from, and so takes the weight from the user's model.
    """
    plain = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    module.__class__ = plain
