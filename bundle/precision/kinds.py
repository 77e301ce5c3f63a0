"""The precisions that a model may be stored and computed in. Converts nothing itself."""

from enum import StrEnum

import numpy as np

from bundle.tensors import Datatype

__all__ = ["Precision"]

_FLOAT32_EPSILON = 2.0**-23


class Precision(StrEnum):
    """A precision that a float32 model may be converted to."""

    FP16 = "fp16"
    """11 significant bits, largest value 65504, nothing between 0 and 6e-8 (IEEE 754 binary16)."""
    BF16 = "bf16"
    """8 significant bits, the range of float32."""
    INT8 = "int8"
    """255 steps over the calibrated range of each tensor."""

    @property
    def epsilon(self) -> float:
        """The distance of neighbouring values: at 1 for floats, for int8 as part of the range."""
        return _EPSILONS[self]

    @property
    def coarseness(self) -> float:
        """How many times as coarse as float32 it is."""
        return self.epsilon / _FLOAT32_EPSILON

    @property
    def datatype(self) -> Datatype:
        """Of the elements."""
        return _DATATYPES[self]

    @property
    def largest(self) -> float:
        """The largest finite value; infinite for int8, which is scaled to what it has to hold."""
        return _LARGEST[self]

    @property
    def smallest_normal(self) -> float:
        """Below it values lose digits, and then flush to 0; 0 for int8."""
        return _SMALLEST[self]


_EPSILONS = {Precision.FP16: 2.0**-10, Precision.BF16: 2.0**-7, Precision.INT8: 2.0**-7}
_DATATYPES = {
    Precision.FP16: Datatype.FP16,
    Precision.BF16: Datatype.BF16,
    Precision.INT8: Datatype.INT8,
}
_LARGEST = {Precision.FP16: 65504.0, Precision.BF16: 3.3895313892515355e38, Precision.INT8: np.inf}
_SMALLEST = {Precision.FP16: 2.0**-14, Precision.BF16: 2.0**-126, Precision.INT8: 0.0}
