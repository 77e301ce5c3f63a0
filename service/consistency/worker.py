"""The helper process: does what it is sent until nobody is there: ``python -m … DESCRIPTOR``.

Not for: what there is to do. That is `examine` and `rerun`.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from bundle.errors import BundleError
from service.consistency.helper import Answer, Refusal, Task

__all__ = ["work"]

_LOOK_S = 1.0
_LOWEST = 19
_SACRIFICE = Path("/proc/self/oom_score_adj")


def work(line: Connection) -> None:
    """Do one task after the other, until the other end is closed."""
    with line:
        while True:
            try:
                task: Task[object] = line.recv()
                line.send(_do(task))
            except (EOFError, OSError):  # the server has gone, or wants no more
                return


def _do(task: Task[object]) -> Answer[object] | Refusal:
    try:
        return Answer(task())
    except BundleError as err:
        return Refusal(str(err))
    except Exception as err:  # noqa: BLE001  # the process's edge: the server logs it
        return Refusal(repr(err), traceback=traceback.format_exc())


def _step_back() -> None:
    """Leave the cores to the server, and the memory too when there is too little of it."""
    os.nice(_LOWEST)
    if _SACRIFICE.exists():  # Linux
        _SACRIFICE.write_text("1000")


def _end_with(server: int) -> None:
    """End, with all that was started here, once the server is gone: a task may take minutes."""
    while os.getppid() == server:
        time.sleep(_LOOK_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    faulthandler.enable()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _step_back()
    work(Connection(int(sys.argv[1])))
