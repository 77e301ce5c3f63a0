"""Where a person finds a target: a path for an annotation. Reads no model."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from normserve.validate.document import Where
from normserve.validate.text import encodable

__all__ = ["where_is", "where_is_defined"]


def where_is(path: Path) -> Where:
    """A file, relative to the working folder where it is below it."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are not followed: they are what is there
    here = Path.cwd()
    inside = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return Where(path=encodable(inside.as_posix()))


def where_is_defined(factory: Callable[..., Any]) -> Where | None:
    """The line on which a function or class begins; None where it has no source."""
    try:
        path, (_, line) = inspect.getfile(factory), inspect.getsourcelines(factory)
    except (OSError, TypeError):
        return None
    return where_is(Path(path)).model_copy(update={"line": max(line, 1)})
