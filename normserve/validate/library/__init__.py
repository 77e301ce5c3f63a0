"""Checks of what lies on disk, one module each: ``NAME`` and ``check(on_disk) -> Finding``."""
