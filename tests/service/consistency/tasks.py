"""Tasks for a helper process, which imports them from here by name."""

import os
import time
from dataclasses import dataclass

from bundle.errors import RunFailed


@dataclass(frozen=True)
class Double:
    number: int

    def __call__(self):
        return 2 * self.number


@dataclass(frozen=True)
class Priority:
    def __call__(self):
        return os.getpid(), os.nice(0)


@dataclass(frozen=True)
class Refuse:
    def __call__(self):
        raise RunFailed("the model has no wish to run.")


@dataclass(frozen=True)
class Stumble:
    def __call__(self):
        raise ZeroDivisionError("a bug")


@dataclass(frozen=True)
class Crash:
    def __call__(self):
        os._exit(7)


@dataclass(frozen=True)
class Hang:
    def __call__(self):
        time.sleep(3600)
