"""Find the normalization layers of a torch model. Not for: what became of them (see `census`).

Torch's own classes and their subclasses are known; those of other libraries are found by their
names (``LlamaRMSNorm``, ``FrozenBatchNorm2d``, ``SwitchableNorm2d``, ``GRN`` …), which authors give
them after what they do. A module that contains a normalization is a block, not a normalization.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.nn.modules.batchnorm import _NormBase

from bundle import NormStatistics
from exporters.program import argument, data_nodes, module_of, operator_name

__all__ = [
    "FunctionalNorm",
    "Layer",
    "functional_norms",
    "is_norm",
    "norm_layers",
    "statistics_of",
]

_CLASSES = (
    _NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d,
)  # fmt: skip
# "NoLayerNormConvLayer" is a layer without one, "ConvNormAct" may be; a network with weight norm
# normalizes weights
_BLOCKS = re.compile(
    r"[Nn]orm\w*(Conv|Linear|Layer|Block|Attention|M[Ll][Pp]|Embed|Head)|(Weight|Spectral)Norm"
    r"|(Conv(\dd)?|Linear)_?[Nn]orm"
)
# "Norm" begins a word, or "norm" ends one; "EnormousNet" and "NormFreeNet" have neither
_NAMES = re.compile(
    r"Norm(?!al(?!i)|Free)|(^|_)norm(?!al(?!i))|norm(_|\d*[dD]?$)|GRN|LRN|FRN|AdaIN|FilterResponse"
    r"|SPADE"
)
_NETWORK = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Linear,
)  # fmt: skip
_STANDARDIZED = re.compile(r"StdConv|WSConv|WeightStandard|StandardizedConv", re.IGNORECASE)
_FUNCTIONS = frozenset({"batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"})
_EPSILONS = ("eps", "epsilon", "variance_epsilon")


@dataclass(frozen=True, slots=True)
class Layer:
    """A normalization layer.

    Attributes:
        name: its qualified name, the first where it is registered under several.
        names: all of them.
        kind: its class.
        on_weights: whether it normalizes its own weights, not data (weight standardization).
        statistics: what it computes with, if it has running statistics.
    """

    name: str
    names: frozenset[str]
    kind: str
    on_weights: bool
    statistics: NormStatistics | None


@dataclass(frozen=True, slots=True)
class FunctionalNorm:
    """Calls of a functional norm by one module.

    Attributes:
        module: the qualified name of the module.
        function: ``batch_norm``, ``layer_norm`` …
        on_weights: whether only weights are normalized.
    """

    module: str
    function: str
    on_weights: bool


def norm_layers(model: nn.Module) -> Iterator[Layer]:
    """Every normalization layer, in the order of the model's modules."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    for module, known in names.items():
        kind = type(module).__name__
        on_weights = _is_standardized(module)
        if module is model and not on_weights and _is_network(module):
            continue
        if on_weights or is_norm(module):
            yield Layer(known[0], frozenset(known), kind, on_weights, statistics_of(module))


def functional_norms(program: ExportedProgram) -> tuple[FunctionalNorm, ...]:
    """The norms that modules call as functions, norm modules' own calls among them.

    Args:
        program: undecomposed.
    """
    data = data_nodes(program)
    calls: dict[tuple[str, str], bool] = {}
    for node in program.graph.nodes:
        function = operator_name(node)
        if function in _FUNCTIONS:
            key = module_of(node), function
            calls[key] = calls.get(key, False) or argument(node, "input") in data
    return tuple(
        FunctionalNorm(module, function, on_weights=not on_data)
        for (module, function), on_data in calls.items()
    )


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalization layer (and not a block that contains one)."""
    if isinstance(module, _CLASSES):
        return True
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict) or _is_of_a_weight(module):
        return False
    kind = type(module).__name__
    if not _NAMES.search(kind) or _BLOCKS.search(kind):
        return False
    return not any(
        is_norm(inner) or _is_standardized(inner)
        for inner in module.modules()
        if inner is not module
    )


def _is_network(module: nn.Module) -> bool:
    """Whether what is exported is a network, whatever it is called."""
    return not isinstance(module, _CLASSES) and any(
        isinstance(inner, _NETWORK) for inner in module.modules()
    )


def _is_standardized(module: nn.Module) -> bool:
    """Whether a layer normalizes its own weights."""
    return _STANDARDIZED.search(type(module).__name__) is not None


def statistics_of(module: nn.Module) -> NormStatistics | None:
    """The running statistics and affine part of a layer, if it has running statistics.

    Epsilon is NaN where the class has it written into its code.
    """
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if not isinstance(mean, torch.Tensor) or not isinstance(variance, torch.Tensor):
        return None
    epsilons = [getattr(module, name) for name in _EPSILONS if hasattr(module, name)]
    return NormStatistics(
        mean=_values(mean),
        variance=_values(variance),
        scale=_optional(getattr(module, "weight", None), mean),
        shift=_optional(getattr(module, "bias", None), mean),
        epsilon=float(epsilons[0]) if epsilons else float("nan"),
    )


def _is_of_a_weight(module: nn.Module) -> bool:
    """Whether it is a step of a re-parametrization, which the census tells by its weight."""
    return type(module).__module__.startswith("torch.nn.utils")


def _values(tensor: torch.Tensor) -> tuple[float, ...]:
    return tuple(tensor.detach().double().flatten().tolist())


def _optional(tensor: object, like: torch.Tensor) -> tuple[float, ...] | None:
    if isinstance(tensor, torch.Tensor) and tensor.numel() == like.numel():
        return _values(tensor)
    return None
