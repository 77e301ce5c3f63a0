"""Checks of a torch model and of what an export made of it. Not for: files alone (`bundle.checks`).

A check takes a `TorchSubject` and gives findings; adding one is adding a file to ``library``.
"""

from bundle.checks import Registry
from exporters.checks import library
from exporters.checks.subject import TorchSubject

__all__ = ["TORCH_CHECKS", "TorchSubject"]

TORCH_CHECKS: Registry[TorchSubject] = Registry(library)
