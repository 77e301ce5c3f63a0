"""What a bundle says of a file that was narrowed from float32. A document; how is elsewhere."""

from typing import Literal

from pydantic import Field

from bundle.document import Document

__all__ = ["Conversion"]


class Conversion(Document):
    """How a file that was proved in float32 became one in another precision.

    Attributes:
        precision: of the file.
        method: in a phrase.
        calibration_rows: how many rows of real inputs the ranges were taken from; a call without a
            batch counts as one.
        calibration_sha256: of their arrays, in their order: name, type, shape and bytes of each.
        held_out_rows: how many more the loss was measured on.
        kept: nodes that stay in float32 on purpose, by their first output, and why.
        max_loss: what was allowed, as part of each output's largest value.
        loss: what was measured, of the worst output; None where an integer output differs.
    """

    precision: Literal["fp16", "bf16", "int8"]
    method: str
    calibration_rows: int
    calibration_sha256: str
    held_out_rows: int
    kept: dict[str, str] = Field(default_factory=dict)
    max_loss: float = Field(gt=0, le=1)
    loss: float | None
