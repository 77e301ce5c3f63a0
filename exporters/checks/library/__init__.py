"""One check a module: ``NAME`` and ``check(subject)``. Explained in ``docs/checks/``."""
