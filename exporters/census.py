"""What became of every normalization layer: folded, kept, merged, decomposed or removed.

Not for: changing anything. A layer is followed by its name: the converter writes on every node
which modules it is of, and the optimization records which node became part of which other.
"""

from collections.abc import Iterable, Mapping

from torch import nn

from bundle import Fate, InputStatistics, NormLayer
from exporters.convert import Converted
from exporters.layer_errors import LayerError
from exporters.layers import FunctionalNorm, Layer, norm_layers
from exporters.prepare import MergedWeight
from exporters.trail import Trail

__all__ = ["NORM_OPERATORS", "take_census"]

NORM_OPERATORS = frozenset({
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN",
    "LayerNormalization", "LpNormalization", "MeanVarianceNormalization", "RMSNormalization",
})  # fmt: skip
"""ONNX's operators that normalize data."""
_WITH_WEIGHTS = frozenset({"Conv", "ConvTranspose", "GRU", "Gemm", "LSTM", "MatMul", "RNN"})
_PLUMBING = frozenset({
    "Cast", "Concat", "Constant", "Expand", "Gather", "Identity", "Reshape", "Shape", "Slice",
    "Squeeze", "Transpose", "Unsqueeze",
})  # fmt: skip
_ACTIVATIONS = frozenset({
    "Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu",
    "Selu", "Sigmoid", "Softplus", "Swish", "Tanh",
})  # fmt: skip
_COLLAPSED = "collapse"  # any scale and shift for each channel, as one BatchNormalization
_RESPONSES = ("LocalResponseNorm", "CrossMapLRN2d")
_SINCE_OPSET = {"RMS": ("RMSNormalization", 23), "GroupNorm": ("GroupNormalization", 21)}


def take_census(
    model: nn.Module,
    converted: Converted,
    observed: Mapping[str, InputStatistics],
    errors: Mapping[str, LayerError] | None = None,
) -> tuple[NormLayer, ...]:
    """Account for every normalization layer of a model.

    Args:
        model: the user's.
        converted: what was made of it.
        observed: statistics of the inputs of its layers, by name.
        errors: of the outputs of its layers, by name, as `exporters.layer_errors` measures them.

    Returns:
        Its modules first, in their order, then re-parametrized weights, then the functional norms
        that no norm module called, then those that are written out as formulas.
    """
    trail = Trail.of(converted)
    opset = converted.model.opset_imports.get("", 0)
    layers = tuple(norm_layers(model))
    accounts = [
        _account(layer, trail, opset=opset, was_called=layer.name in observed).model_copy(
            update={
                "statistics": layer.statistics,
                "input_statistics": observed.get(layer.name),
                **_error_of((errors or {}).get(layer.name)),
            }
        )
        for layer in layers
    ]
    accounts += [_of_weight(weight, trail) for weight in converted.merged]
    modules = {name for layer in layers for name in layer.names}
    accounts += [
        _functional(norm, trail, opset=opset)
        for norm in converted.functional
        if not any(norm.module == name or norm.module.startswith(f"{name}.") for name in modules)
    ]
    claimed = {name for account in accounts for name in account.nodes}
    accounts += [
        _written_out(name, trail)
        for name in trail.present
        if trail.operator(name) in NORM_OPERATORS
        and name not in claimed
        and name not in trail.origins  # else the converter emitted it, for a layer that is lost
        and modules.isdisjoint(trail.scopes(name))
    ]
    return tuple(accounts)


def _written_out(name: str, trail: Trail) -> NormLayer:
    """A norm that the model has as formulas, of which the optimization made an operator."""
    scopes, operator = trail.scopes(name), trail.operator(name)
    kind = "scale and shift" if operator == "BatchNormalization" else "written-out norm"
    of = f"{scopes[-1]}.{operator}" if scopes and scopes[-1] else operator
    layer = Layer(of, frozenset(), kind, on_weights=False, statistics=None)
    return _entry(layer, "kept", f"as {trail.said([name])}", [name], trail)


def _error_of(measured: LayerError | None) -> dict[str, object]:
    return {} if measured is None else {"error": measured.error, "tolerance": measured.tolerance}


def _account(layer: Layer, trail: Trail, *, opset: int, was_called: bool) -> NormLayer:
    emitted = trail.emitted(layer.names)
    if not emitted:
        why = "no output depends on it" if was_called else "never called with these inputs"
        return _entry(layer, "removed", why)
    if layer.on_weights:
        return _merged(layer.name, layer.kind, module=layer.name, trail=trail)
    working = trail.working(emitted)
    # a node that a rewrite made carries the scopes of those it replaced
    candidates = dict.fromkeys(trail.surviving(layer.names)) | working
    return _outcome(layer, candidates, trail, opset=opset)


def _outcome(
    layer: Layer, candidates: Mapping[str, str | None], trail: Trail, *, opset: int
) -> NormLayer:
    """What a layer is now, from the nodes that do its work and the rules that took it there."""
    folded = [name for name, rule in candidates.items() if rule and rule.startswith("fold")]
    norms = [
        name
        for name in candidates
        if trail.operator(name) in NORM_OPERATORS
        and candidates[name] != _COLLAPSED
        and (name not in folded or not layer.names.isdisjoint(trail.scopes(name)))
    ]
    folded = [name for name in folded if name not in norms]
    own = [
        name
        for name, rule in candidates.items()
        if rule in (None, _COLLAPSED) and trail.operator(name) not in _PLUMBING
    ]
    if norms and not _is_another_operator(layer.kind, opset):
        said = f"as {trail.said(norms)}"
        if folded:
            said += f"; in other calls folded into {trail.said(folded)}"
        return _entry(layer, "kept", said, norms, trail)
    activations = _activations(own, trail) if folded else []
    if norms or len(own) > len(activations):
        own = list(dict.fromkeys((*norms, *own)))
        return _entry(layer, "decomposed", _why_decomposed(layer.kind, opset), own, trail)
    if folded:
        said = f"into {trail.said(folded)}"
        if activations:
            said += f"; its activation stays: {trail.said(activations)}"
        return _entry(layer, "folded", said, folded, trail)
    if candidates:
        moved = list(candidates)
        return _entry(layer, "decomposed", "only moves numbers with these inputs", moved, trail)
    return _entry(layer, "removed", "no output depends on it")


def _activations(names: Iterable[str], trail: Trail) -> list[str]:
    """Those of a layer's nodes that are an activation, as ``BatchNormAct2d`` and the like have it.

    A product of two computed values is part of one: ``x * sigmoid(x)``.
    """
    return [
        name
        for name in names
        if trail.operator(name) in _ACTIVATIONS
        or (trail.operator(name) == "Mul" and not trail.has_constant(name))
    ]


def _of_weight(weight: MergedWeight, trail: Trail) -> NormLayer:
    return _merged(weight.name, weight.kind, module=weight.module, trail=trail)


def _merged(name: str, kind: str, *, module: str, trail: Trail) -> NormLayer:
    """A normalization of weights: its result is in the node that uses them."""
    layer = Layer(name, frozenset(), kind, on_weights=True, statistics=None)
    users = [n for n in trail.surviving({module}) if trail.operator(n) in _WITH_WEIGHTS]
    if users:
        return _entry(layer, "merged", f"into the weight of {trail.said(users)}", users, trail)
    return _entry(layer, "merged", "into a weight that is part of others, or of no output")


def _functional(norm: FunctionalNorm, trail: Trail, *, opset: int) -> NormLayer:
    """The calls that a module's own ``forward`` makes: told by the nodes that it emitted."""
    name, kind = f"{norm.module}.{norm.function}".lstrip("."), f"functional {norm.function}"
    if norm.on_weights:
        return _merged(name, kind, module=norm.module, trail=trail)
    emitted = trail.emitted_directly(norm.module)
    own = [n for n in emitted if trail.origins[n].op in NORM_OPERATORS] or emitted
    layer = Layer(name, frozenset(), kind, on_weights=False, statistics=None)
    return _outcome(layer, trail.working(own), trail, opset=opset)


def _is_another_operator(kind: str, opset: int) -> bool:
    """Whether the opset is too old for a layer's own operator: a norm in its nodes is another."""
    return any(part in kind and opset < since for part, (_, since) in _SINCE_OPSET.items())


def _why_decomposed(kind: str, opset: int) -> str:
    for part, (operator, since) in _SINCE_OPSET.items():
        if part in kind and opset < since:
            return f"runs as primitives: {operator} needs opset {since}, this is {opset}"
    if kind.endswith(_RESPONSES):
        return "runs as primitives, which ONNX Runtime computes faster than its LRN"
    return f"runs as primitives: ONNX has no operator for {kind}"


def _entry(
    layer: Layer,
    fate: Fate,
    detail: str,
    nodes: Iterable[str] = (),
    trail: Trail | None = None,
) -> NormLayer:
    names = tuple(nodes)
    return NormLayer(
        name=layer.name,
        kind=layer.kind,
        fate=fate,
        nodes=names,
        op=trail.operator(names[0]) if trail is not None and names else None,
        detail=detail,
    )
