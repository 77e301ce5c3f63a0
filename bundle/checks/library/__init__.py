"""The checks, one module each: ``NAME`` and ``check(subject) -> Finding``. Found by their files."""
