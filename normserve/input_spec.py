"""``--input`` of ``normserve export``: a tensor described on the command line.

::

    pixels:FP32[batch,3,224,224]
    ids:INT64[batch,length=16]

A number is a fixed size. A name is a dynamic dimension; ``=N`` is its size in the example, which is
2 where nothing is said.
"""

import re
from dataclasses import dataclass

import torch

from bundle import Datatype

__all__ = ["InputSpec", "parse_input"]

_PATTERN = re.compile(r"(?P<name>[^:\[\]]+):(?P<datatype>\w+)\[(?P<dims>[^\[\]]*)\]")
_DIMENSION = re.compile(r"(?P<name>[A-Za-z_]\w*)(=(?P<size>[1-9]\d*))?|(?P<fixed>[1-9]\d*)")
_DEFAULT_SIZE = 2
_TORCH = {
    Datatype.BOOL: torch.bool,
    Datatype.UINT8: torch.uint8,
    Datatype.INT8: torch.int8,
    Datatype.INT16: torch.int16,
    Datatype.INT32: torch.int32,
    Datatype.INT64: torch.int64,
    Datatype.FP16: torch.float16,
    Datatype.BF16: torch.bfloat16,
    Datatype.FP32: torch.float32,
    Datatype.FP64: torch.float64,
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """A tensor that a model takes.

    Attributes:
        name: of the argument.
        dtype: of the tensor.
        shape: its sizes in the example.
        dynamic: the names of the dynamic dimensions, by axis.
    """

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    dynamic: dict[int, str]

    def example(self) -> torch.Tensor:
        """A tensor like it: normally distributed floats, zeros and ones for everything else.

        Raises:
            ValueError: this machine has no memory for it.
        """
        generator = torch.Generator().manual_seed(0)
        try:
            if self.dtype.is_floating_point:
                return torch.randn(self.shape, generator=generator).to(self.dtype)
            return torch.randint(0, 2, self.shape, generator=generator).to(self.dtype)
        except (RuntimeError, TypeError) as err:  # the latter: a size beyond 64 bits
            raise ValueError(
                f"an example of input '{self.name}' with the shape {self.shape} does not fit into"
                " this machine's memory; describe a smaller one."
            ) from err


def parse_input(text: str) -> InputSpec:
    """Read the description of a tensor.

    Raises:
        ValueError: it is none; the message says what one looks like.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"got '{text}'; wanted NAME:DATATYPE[SIZES], such as pixels:FP32[batch,3,224,224]."
        )
    try:
        dtype = _TORCH[Datatype(match["datatype"])]
    except (KeyError, ValueError):
        raise ValueError(
            f"'{text}' has the datatype '{match['datatype']}'; there are {', '.join(_TORCH)}."
        ) from None
    shape: list[int] = []
    dynamic: dict[int, str] = {}
    for axis, dimension in enumerate(filter(None, match["dims"].split(","))):
        parts = _DIMENSION.fullmatch(dimension.strip())
        if parts is None:
            raise ValueError(
                f"'{text}' has the dimension '{dimension}'; wanted a positive number, a name,"
                " or NAME=SIZE."
            )
        if parts["name"]:
            dynamic[axis] = parts["name"]
        shape.append(int(parts["fixed"] or parts["size"] or _DEFAULT_SIZE))
    return InputSpec(match["name"], dtype, tuple(shape), dynamic)
