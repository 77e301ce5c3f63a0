"""What computes runs. Knows nothing of requests, and not whose rows they are."""

from service.engine.run import Engine, Model, Pieces, Run, Watch
from service.engine.threads import RunThreads, ThreadEngine
from service.engine.workshop import Opened, ProcessWorkshop, ThreadWorkshop, Workshop
from service.engine.zygote import Worker, Zygote, ZygoteGone

__all__ = [
    "Engine",
    "Model",
    "Opened",
    "Pieces",
    "ProcessWorkshop",
    "Run",
    "RunThreads",
    "ThreadEngine",
    "ThreadWorkshop",
    "Watch",
    "Worker",
    "Workshop",
    "Zygote",
    "ZygoteGone",
]
