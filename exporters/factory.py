"""``package.module:factory`` → a function that makes a model. Not for: loading its weights."""

import importlib
from collections.abc import Callable
from typing import Any

from exporters.errors import FactoryInvalid, first_line

__all__ = ["resolve_factory"]


def resolve_factory(reference: str) -> Callable[..., Any]:
    """The callable that a reference names.

    Args:
        reference: ``package.module:factory``; dots after the colon go into attributes.

    Returns:
        What is there; it is not called.

    Raises:
        FactoryInvalid: the reference is malformed, the module cannot be imported, or there is no
            such callable in it.
    """
    module_name, colon, attribute = reference.partition(":")
    parts = (*module_name.split("."), *attribute.split("."))
    if not colon or not all(part.isidentifier() for part in parts):
        raise FactoryInvalid(
            f"'{reference}' is no reference to a factory; write package.module:factory."
        )
    try:
        found: Any = importlib.import_module(module_name)
    # Importing runs the user's module: it may raise anything.
    except Exception as err:
        raise FactoryInvalid(
            f"module '{module_name}' cannot be imported: {type(err).__name__}: {first_line(err)}"
        ) from err
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise FactoryInvalid(
                f"'{reference}' does not exist: there is no '{name}' in"
                f" {getattr(found, '__name__', found)}."
            )
        found = getattr(found, name)
    if not callable(found):
        raise FactoryInvalid(
            f"'{reference}' is a {type(found).__name__}; it must be a function or class that makes"
            " a model."
        )
    factory: Callable[..., Any] = found
    return factory
