"""``python -m normserve`` is ``normserve``."""

from normserve.cli import main

main()
