"""How much rounding moves a model's outputs: the noise that two right answers may differ by.

Without torch there is no float64 reference. What there is: the tolerance in the manifest, and the
model itself with every weight and every input moved by one unit in the last place. A network that
amplifies that amplifies its own rounding as much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from bundle.checks.subject import Feeds, Subject
from bundle.comparison import FLOOR_ULPS, Tolerance, derive_tolerance
from bundle.manifest import Manifest
from bundle.tensors import Datatype

__all__ = ["rounding_tolerances"]

_FLOATS = frozenset(kind.onnx for kind in Datatype if kind.is_float)
_MATRIX = 2
_MOST = 1e-2
"""Of the largest value: what moves more is not rounding, whatever an ulp does to the model."""


def rounding_tolerances(
    subject: Subject, feeds: Sequence[Feeds], answers: Sequence[Feeds]
) -> dict[str, Tolerance]:
    """For each float output, how far two right answers may be apart.

    Args:
        subject: its manifest's tolerances are taken where it has one, unless they are those of a
            narrower precision: whatever that loses, two runs of one file lose the same.
        feeds: what the model is tried with.
        answers: what it gave for each.

    Raises:
        InputInvalid: the model cannot compute this.
        ModelInvalid: its weights cannot be read.
        RunFailed: it failed for another reason.
    """
    names = [
        name for name, array in answers[0].items() if Datatype.from_numpy(array.dtype).is_float
    ]
    known = _proved(subject.manifest)
    moved = answers
    if not all(name in known for name in names):
        generator = np.random.default_rng(subject.seed)
        nudged = _nudged_model(subject.proto(), generator)
        other = replace(subject, model=nudged).open()
        moved = [
            other.run({name: _nudge(array, generator) for name, array in feed.items()})
            for feed in feeds
        ]
    return {
        name: _tolerance(
            [answer[name] for answer in answers],
            [answer[name] for answer in moved],
            known=known.get(name),
        )
        for name in names
    }


def _proved(manifest: Manifest | None) -> Mapping[str, Tolerance]:
    """The manifest's tolerances, unless they allow a precision's loss, which is no noise."""
    return manifest.tolerances if manifest is not None and manifest.conversion is None else {}


def _tolerance(
    answers: Sequence[np.ndarray], moved: Sequence[np.ndarray], *, known: Tolerance | None
) -> Tolerance:
    if [array.shape for array in answers] != [array.shape for array in moved]:
        moved = answers  # an ulp changed a length: nothing to subtract
    first = np.concatenate([array.ravel() for array in answers])
    second = np.concatenate([array.ravel() for array in moved])
    derived = derive_tolerance(first.astype(np.float64), second)
    if known is None:
        largest = _MOST * float(np.abs(first[np.isfinite(first)].astype(np.float64)).max(initial=0))
        return Tolerance(
            atol=min(derived.atol, largest),
            rtol=0.0,
            source="8 x the movement when every weight and input moves by one unit in its last"
            f" place, at least {FLOOR_ULPS:g} ulps and at most {_MOST:g} of the largest value",
        )
    if known.atol >= derived.atol:
        return known
    return Tolerance(
        atol=derived.atol,
        rtol=known.rtol,
        source=f"{FLOOR_ULPS:g} ulps of the largest value here; at export: {known.source}",
    )


def _nudged_model(model: onnx.ModelProto, generator: np.random.Generator) -> onnx.ModelProto:
    nudged = onnx.ModelProto()
    nudged.CopyFrom(model)
    for tensor in nudged.graph.initializer:
        # vectors and scalars may be scales of a Resize or thresholds, where an ulp is a jump
        if tensor.data_type in _FLOATS and len(tensor.dims) >= _MATRIX:
            moved = _nudge(numpy_helper.to_array(tensor), generator)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    return nudged


def _nudge(array: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each float one unit in the last place up or down, at random; anything else unchanged."""
    if not Datatype.from_numpy(array.dtype).is_float:
        return array
    unit = ml_dtypes.finfo(array.dtype).eps  # type: ignore[no-untyped-call]  # ships no types
    signs = generator.choice([-1.0, 1.0], array.shape)
    # numpy makes a number of an array without dimensions, once it is computed with
    return np.asarray(array.astype(np.float64) * (1.0 + signs * float(unit)), dtype=array.dtype)
