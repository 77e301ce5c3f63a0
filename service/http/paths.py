"""The variable parts of paths, as OpenAPI describes them and as they are read."""

import re
from typing import Annotated

from fastapi import Path

from service.errors import VersionUnknown, excerpt

__all__ = [
    "INFER",
    "INFER_VERSION",
    "MODEL",
    "MODEL_VERSION",
    "ModelName",
    "Version",
    "parse_version",
]

MODEL = "/v2/models/{model}"
MODEL_VERSION = "/v2/models/{model}/versions/{version}"
INFER = f"{MODEL}/infer"
INFER_VERSION = f"{MODEL_VERSION}/infer"

ModelName = Annotated[str, Path(description="The model's name.", examples=["resnet"])]
Version = Annotated[str, Path(description="A version of it, a number.", examples=["1"])]

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def parse_version(text: str | None) -> int | None:
    """The number in a path, or ``None`` where the path has none.

    Raises:
        VersionUnknown: no version can be called that.
    """
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise VersionUnknown(f"there is no version {excerpt(text)}; versions are numbers from 1 on")
    return int(text)
