"""Whether two results agree: the only place that decides. Knows nothing of files, torch or HTTP.

The tolerance is derived, not guessed. Two float32 evaluations of the same network differ by their
rounding errors, and how large those are is a property of the network: torch's own float32 result
against a float64 reference measures it. Another runtime may be off by a small multiple of that.
"""

from collections.abc import Mapping

import ml_dtypes
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from bundle.tensors import Datatype

__all__ = [
    "ERROR_MULTIPLE",
    "EXACT",
    "OutputComparison",
    "Tolerance",
    "compare",
    "derive_tolerance",
]

ERROR_MULTIPLE = 8.0
"""How many times torch's own largest float32 error another runtime may reach."""

FLOOR_ULPS = 32.0
"""The least tolerance, in units of the last place of the largest reference value.

A short network can hit the reference exactly by luck; a different summation order of a few dozen
terms moves a result by some ulps all the same.
"""


class Tolerance(BaseModel):
    """How far a float result may be from the expected one: ``|a - e| <= atol + rtol * |e|``.

    Attributes:
        atol: absolute, in the output's own unit; finite, so that nothing passes unseen.
        rtol: relative to the expected value; finite.
        source: where the numbers come from, for a reader.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    atol: float = Field(ge=0, allow_inf_nan=False)
    rtol: float = Field(ge=0, allow_inf_nan=False)
    source: str

    def widened(self, by: float, why: str) -> "Tolerance":
        """The same with ``by`` (absolute) on top, said in the source."""
        return Tolerance(atol=self.atol + by, rtol=self.rtol, source=f"{self.source}; {why}")


EXACT = Tolerance(atol=0.0, rtol=0.0, source="integers, booleans and bytes are equal or not")


class OutputComparison(BaseModel):
    """What comparing one output gave.

    Attributes:
        name: of the output.
        passed: whether it agrees.
        max_abs_error: the largest ``|actual - expected|`` over the elements that are finite in
            both (0.0 for empty arrays; for exact types 1.0 where elements differ); ``None`` where
            names, dtypes or shapes differ, so that there was nothing to subtract.
        worst_index: of the element that is furthest outside (or nearest to) its tolerance.
        expected: that element as it should be, as text.
        actual: that element as it is, as text.
        tolerance: what was allowed.
        reason: one sentence on why it failed; empty when it passed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    name: str
    passed: bool
    max_abs_error: float | None
    worst_index: tuple[int, ...] | None
    expected: str
    actual: str
    tolerance: Tolerance
    reason: str


def derive_tolerance(reference64: np.ndarray, single32: np.ndarray) -> Tolerance:
    """The tolerance that torch's own rounding error earns another runtime.

    Args:
        reference64: outputs in float64, any shape.
        single32: the same outputs in the served precision (float32, float16 …).

    Returns:
        ``atol = max(8 * max|single32 - reference64|, 32 ulps of max|reference64|)``, with the ulp
        of ``single32``'s dtype; elements that are not finite in both are left out.
    """
    reference = np.asarray(reference64, dtype=np.float64)
    single = np.asarray(single32)
    widened = single.astype(np.float64)
    finite = np.isfinite(reference) & np.isfinite(widened)
    noise = _largest(np.abs(widened[finite] - reference[finite]))
    scale = _largest(np.abs(reference[finite]))
    floor = FLOOR_ULPS * scale * _epsilon(single.dtype)
    return Tolerance(
        atol=max(ERROR_MULTIPLE * noise, floor),
        rtol=0.0,
        source=(
            f"the larger of {ERROR_MULTIPLE:g} x torch's own error against float64 ({noise:.3g})"
            f" and {FLOOR_ULPS:g} ulps of the largest value ({floor:.3g})"
        ),
    )


def compare(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    tolerances: Mapping[str, Tolerance],
) -> tuple[OutputComparison, ...]:
    """Compare named outputs: names first, then dtypes, then shapes, then every element.

    Non-finite values agree only with the same non-finite value at the same place: NaN with NaN,
    each infinity with itself. Floats agree within their tolerance, everything else exactly.

    Args:
        expected: what the outputs should be.
        actual: what they are. Float64 against a narrower float is compared in float64, so that a
            reference need not be rounded first; any other difference of dtype fails.
        tolerances: one for each float output; others are exact.

    Returns:
        One comparison an output, in the order of ``expected``, then those that ``actual`` has
        beyond it.

    Raises:
        KeyError: a float output of ``expected`` has no tolerance.
    """
    results = []
    for name, wanted in expected.items():
        is_float = Datatype.from_numpy(wanted.dtype).is_float
        tolerance = tolerances[name] if is_float else EXACT
        if name not in actual:
            reason = f"output '{name}' is missing; there are {_names(actual)}"
            results.append(_incomparable(name, reason, tolerance))
        else:
            results.append(_compare_one(name, wanted, actual[name], tolerance))
    results.extend(
        _incomparable(name, f"output '{name}' was not expected, only {_names(expected)}", EXACT)
        for name in actual
        if name not in expected
    )
    return tuple(results)


def _compare_one(
    name: str, expected: np.ndarray, actual: np.ndarray, tolerance: Tolerance
) -> OutputComparison:
    wanted, got = Datatype.from_numpy(expected.dtype), Datatype.from_numpy(actual.dtype)
    if wanted != got and not (wanted is Datatype.FP64 and got.is_float):
        return _incomparable(name, f"output '{name}' is {got}, expected {wanted}", tolerance)
    if expected.shape != actual.shape:
        reason = f"output '{name}' has shape {actual.shape}, expected {expected.shape}"
        return _incomparable(name, reason, tolerance)
    if expected.size == 0:
        return _result(name, error=0.0, index=None, values=("", ""), tolerance=tolerance, reason="")
    if wanted.is_float:
        return _compare_floats(name, expected, actual, tolerance)
    unequal = np.asarray(_as_bytes(expected) != _as_bytes(actual), dtype=bool)
    index = _unravel(int(np.argmax(unequal)), expected.shape)
    values = (str(expected[index]), str(actual[index]))
    reason = ""
    if unequal.any():
        count = int(unequal.sum())
        reason = (
            f"output '{name}' differs in {count} of {expected.size} elements, first at {index}:"
            f" got {values[1]}, expected {values[0]}"
        )
    error = float(unequal.any())
    return _result(
        name, error=error, index=index, values=values, tolerance=tolerance, reason=reason
    )


def _compare_floats(
    name: str, expected: np.ndarray, actual: np.ndarray, tolerance: Tolerance
) -> OutputComparison:
    wanted, got = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(wanted) & np.isfinite(got)
    same = (np.isnan(wanted) & np.isnan(got)) | (wanted == got)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(finite, np.abs(got - wanted), 0.0)
        allowed = tolerance.atol + tolerance.rtol * np.where(finite, np.abs(wanted), 0.0)
        # how far outside: an unequal non-finite value is infinitely far
        excess = np.where(finite, error - allowed, np.where(same, -np.inf, np.inf))
    index = _unravel(int(np.argmax(excess)), wanted.shape)
    values = (f"{wanted[index]:.9g}", f"{got[index]:.9g}")
    outside = int((excess > 0).sum())
    reason = ""
    if outside:
        limit = float(np.broadcast_to(allowed, wanted.shape)[index])
        reason = (
            f"output '{name}' is outside its tolerance in {outside} of {wanted.size} elements,"
            f" worst at {index}: got {values[1]}, expected {values[0]}, tolerance {limit:.3g}"
        )
    return _result(
        name,
        error=float(error.max()),
        index=index,
        values=values,
        tolerance=tolerance,
        reason=reason,
    )


def _result(
    name: str,
    *,
    error: float,
    index: tuple[int, ...] | None,
    values: tuple[str, str],
    tolerance: Tolerance,
    reason: str,
) -> OutputComparison:
    return OutputComparison(
        name=name,
        passed=not reason,
        max_abs_error=error,
        worst_index=index,
        expected=values[0],
        actual=values[1],
        tolerance=tolerance,
        reason=reason,
    )


def _incomparable(name: str, reason: str, tolerance: Tolerance) -> OutputComparison:
    return OutputComparison(
        name=name,
        passed=False,
        max_abs_error=None,
        worst_index=None,
        expected="",
        actual="",
        tolerance=tolerance,
        reason=reason,
    )


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """BYTES elements may come as str: compare what they are on the wire."""
    if array.dtype.kind not in "OSU":
        return array
    encode = np.frompyfunc(lambda item: item.encode() if isinstance(item, str) else item, 1, 1)
    return np.asarray(encode(array), dtype=object)


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if values.size else 0.0


def _epsilon(dtype: np.dtype[np.generic]) -> float:
    # numpy's finfo does not know bfloat16
    return float(ml_dtypes.finfo(dtype).eps)  # type: ignore[no-untyped-call]  # ships no types


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def _names(outputs: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"'{name}'" for name in outputs) or "none"
