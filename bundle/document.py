"""The base of every document that is written as JSON. Knows nothing of what it says."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Document"]


class Document(BaseModel):
    """Frozen, without unknown fields; NaN and infinities, which JSON has no number for, as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
