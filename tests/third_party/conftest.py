"""The architectures are collected where their libraries are installed: `make test-third-party`."""

import importlib.util

LIBRARIES = ("diffusers", "monai", "transformers")

collect_ignore_glob = (
    [] if all(importlib.util.find_spec(library) for library in LIBRARIES) else ["test_*.py"]
)
