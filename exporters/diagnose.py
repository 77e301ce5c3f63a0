"""Diagnose a bundle against the torch model that it is said to be of, layer by layer.

Not for: exporting. The model is converted again in memory, for two reasons: the converter knows
which value of the graph each module gives, and a file made now says whether the bundle's differs.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence

import ml_dtypes
import numpy as np
import onnx
import torch
from torch import nn

from bundle import Bundle, Manifest, NormStatistics, read_samples
from bundle.diagnose import (
    Cause,
    CauseKind,
    Diagnosis,
    Examined,
    Graph,
    InnerValues,
    Point,
    Setup,
    Sides,
    Verdict,
    examine,
    unoptimized,
)
from bundle.diagnose.trace import conditioning, first_divergence, trace
from exporters.calls import Example, Flat
from exporters.convert import Subject, convert_subject, inspect
from exporters.eager import Eager
from exporters.errors import InputsInvalid
from exporters.finish import finish
from exporters.layers import norm_layers
from exporters.prepare import quiet_state, unwrap

__all__ = ["diagnose_model"]

_RELATIVE = 1e-6
"""Statistics that differ by no more are the same: they are written as decimal numbers."""


def diagnose_model(
    model: nn.Module, bundle: Bundle, example_inputs: Example | None = None
) -> tuple[Examined, ...]:
    """Compare a bundle with its model, on the first golden sample.

    Args:
        model: stays as it is.
        bundle: with golden samples.
        example_inputs: one call, where the tensors alone do not say how the model is called.

    Returns:
        The bundle against the model in eval mode; then, if the model was handed over in training
        mode, the model as it was against its eval mode.

    Raises:
        ExportError: the model cannot be converted, or takes other inputs than the bundle.
        BundleError: the bundle cannot be opened or run.
    """
    manifest = bundle.manifest
    samples = read_samples(bundle.path, manifest.inputs, manifest.outputs)
    if not samples:
        raise InputsInvalid(f"'{bundle.path}' has no golden samples to diagnose it on.")
    feeds = samples[0].inputs
    tensors = tuple(_to_torch(feeds[spec.name]) for spec in manifest.inputs)
    with quiet_state():
        subject = _inspect(model, manifest, tensors, example_inputs)
        converted = convert_subject(subject, opset=manifest.provenance.opset, batch_allowed=True)
        fresh = finish(
            converted, name=manifest.name, lower_group_norm=manifest.group_norm == "lowered"
        )
        modules = {
            value: name for name, value in converted.leaving.items() if name
        }  # the innermost module of several that give the same value comes last
        layers = _Layers(subject, tensors, modules)
        found = [_against_eval(bundle, feeds, layers, fresh)]
        if subject.model.training:
            found.append(Examined(_as_given(subject, tensors, layers)))
    return tuple(found)


class _Layers:
    """What each module of the model returns, by the names of the graph's values."""

    def __init__(
        self, subject: Subject, tensors: Sequence[torch.Tensor], modules: Mapping[str, str]
    ) -> None:
        self.subject = subject
        self.modules = modules
        self._tensors = tensors

    def wide(self, values: Sequence[str]) -> dict[str, np.ndarray]:
        """In float64, where the model runs so."""
        return self.of(self.subject.wide or self.subject.eager, values)

    def single(self, values: Sequence[str]) -> dict[str, np.ndarray]:
        """In the model's own precision."""
        return self.of(self.subject.eager, values)

    def of(self, eager: Eager, values: Sequence[str]) -> dict[str, np.ndarray]:
        """As some copy of the model gives them."""
        wanted = {self.modules[value]: value for value in values if value in self.modules}
        inner = eager.outputs_of(wanted, self._tensors) if wanted else {}
        found = {wanted[name]: array for name, array in inner.items()}
        if set(values) & set(eager.names):
            answers = eager.run(self._tensors)
            found |= {name: answers[name] for name in values if name in answers}
        return found


def _against_eval(
    bundle: Bundle, feeds: Mapping[str, np.ndarray], layers: _Layers, fresh: onnx.ModelProto
) -> Examined:
    graph = Graph(onnx.load_model(bundle.model_path))
    actual = InnerValues(graph.model, unoptimized)
    wide = layers.wide(list(layers.modules))
    known = [n for n in graph.floats if n in wide or n in graph.outputs]
    if not known:
        raise InputsInvalid("the bundle has no value that a layer of this model gives.")
    elsewhere = [] if layers.subject.wide else ["the model does not run in float64"]
    setup = Setup(
        names=("torch in eval mode", f"{bundle.manifest.name} {bundle.manifest.version}"),
        sides=Sides(
            wide=layers.wide,
            single=layers.single,
            actual=lambda names: actual.take(feeds, names),
        ),
        actual=graph,
        expected=Graph(fresh),
        feeds=feeds,
        run=lambda part, given: unoptimized(part).run(given),
        folded={
            node: layer.name
            for layer in bundle.manifest.norms
            if layer.fate == "folded"
            for node in layer.nodes
        },
        notes=tuple(elsewhere),
    )
    points = [Point(n, layers.modules.get(n, n), graph.operator(n)) for n in known]
    found = examine(setup, [points])
    other = _other_statistics(bundle.manifest, layers.subject.model)
    if found.diagnosis.first is not None and other is not None:
        return Examined(found.diagnosis.model_copy(update={"cause": other}), found.part)
    return found


def _other_statistics(manifest: Manifest, model: nn.Module) -> Cause | None:
    """A batch norm that computes with something else than it did when the bundle was made."""
    exported = {layer.name: layer.statistics for layer in manifest.norms}
    for layer in norm_layers(model):
        then, now = exported.get(layer.name), layer.statistics
        if then is None or now is None:
            continue
        for name, mine, theirs in _differing(now, then):
            return Cause(
                kind=CauseKind.EPSILON if name == "epsilon" else CauseKind.WEIGHTS,
                meaning=f"'{layer.name}' has {name} {mine:.6g}, and had {theirs:.6g} when the"
                " bundle was exported",
                remedy="export the model as it is now, or load the checkpoint of the bundle",
            )
    return None


def _differing(now: NormStatistics, then: NormStatistics) -> Iterator[tuple[str, float, float]]:
    """What differs: its name, and the first value on both sides that does."""
    for name in ("epsilon", "mean", "variance", "scale", "shift"):
        mine, theirs = (np.atleast_1d(getattr(each, name) or 0.0) for each in (now, then))
        if mine.shape == theirs.shape:
            apart = ~np.isclose(mine, theirs, rtol=_RELATIVE, atol=0.0, equal_nan=True)
            if apart.any():
                place = int(np.argmax(apart))
                yield name, float(mine[place]), float(theirs[place])


def _as_given(subject: Subject, tensors: Sequence[torch.Tensor], layers: _Layers) -> Diagnosis:
    """The model in the mode that it was handed over in, against its eval mode."""
    model = copy.deepcopy(unwrap(subject.model))
    given = Eager(Flat(model, subject.call), subject.eager.names)
    training = [name or "the model" for name, module in model.named_modules() if module.training]
    ordered = [*layers.modules, *subject.eager.names]
    steps = trace(
        [[Point(value, layers.modules.get(value, value)) for value in ordered]],
        Sides(
            wide=layers.wide,
            single=layers.single,
            actual=lambda names: layers.of(given, names) if given.accepts(tensors) else {},
        ),
    )
    verdict, first = first_divergence(steps)
    cause = Cause(
        kind=CauseKind.TRAIN_MODE,
        meaning=f"{len(training)} modules are in training mode as the model was handed over"
        + (f"; '{first.layer}' is the first to compute something else there" if first else ""),
        remedy="call model.eval() before the model is compared with what is served",
    )
    return Diagnosis(
        expected="torch in eval mode",
        actual="torch as the model was handed over",
        verdict=verdict,
        steps=steps,
        first=first,
        cause=None if verdict is Verdict.AGREES else cause,
        conditioning=conditioning(steps if first is None else steps[: steps.index(first)]),
    )


def _inspect(
    model: nn.Module,
    manifest: Manifest,
    tensors: Sequence[torch.Tensor],
    example_inputs: Example | None,
) -> Subject:
    names = [spec.name for spec in manifest.inputs]
    example = example_inputs
    if example is None:
        example = dict(zip(names, tensors, strict=True))
    return inspect(
        model,
        example,
        dynamic_shapes={
            spec.name: {axis: d for axis, d in enumerate(spec.shape) if isinstance(d, str)}
            for spec in manifest.inputs
        },
        input_names=names,
        output_names=[spec.name for spec in manifest.outputs],
    )


def _to_torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())  # what was read from a file is not writable
