"""Opens models in the way that they are run: on threads of this process, or each in its own.

Says not whether a model may be served: who opens one tries it, and then asks for its engine.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import structlog

from bundle import AS_IT_COMES, ProviderPolicy, SessionTuning, open_model, resolve
from bundle.opener import Placement
from bundle.providers import CPU
from bundle.tensors import TensorSpec
from service.engine.link import Link
from service.engine.messages import Open
from service.engine.processes import ProcessEngine
from service.engine.run import Engine
from service.engine.threads import RunThreads, ThreadEngine
from service.engine.zygote import Zygote, ZygoteGone

__all__ = ["Opened", "ProcessWorkshop", "ThreadWorkshop", "Workshop"]

_log = structlog.stdlib.get_logger(__name__)

_LEAST_BYTES: Final = 2**30
_BYTES_A_BYTE: Final = 8
"""Of memory for each byte of a model's files: weights are copied while they are prepared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that was opened.

    Attributes:
        inputs: what it takes.
        outputs: what it gives.
        provider: the execution provider that was asked first.
        placement: where each node runs.
        lowered: the nodes that were rewritten because the provider has no kernel for them.
        at_once: runs of it at the same time.
        run: runs it once and waits; raises what `bundle.OpenModel.run` raises, and `EngineFailed`.
        close: gives it up, unless its engine was asked for.
        engine: what runs it from now on. Where its process ends and another takes its place, the
            given function tries that one first, and raises what speaks against it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    provider: str
    placement: Placement
    lowered: tuple[str, ...]
    at_once: int
    run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    close: Callable[[], object]
    engine: Callable[[Callable[["Opened"], object]], Engine]


class Workshop(Protocol):
    """Opens models."""

    def open(
        self,
        path: Path,
        *,
        policy: ProviderPolicy,
        threads: int,
        tuning: SessionTuning = AS_IT_COMES,
        at_once: int | None = None,
    ) -> Opened:
        """Open one; blocks.

        Args:
            path: the ONNX file.
            policy: where it runs.
            threads: of one run.
            tuning: of its session.
            at_once: runs of it at the same time, all in one session; more than the workshop's own
                are as many as those, which is what None is.

        Raises:
            BundleError: it cannot be opened.
            EngineFailed: there is nothing to open it in.
        """
        ...

    @property
    def pending(self) -> int:
        """Runs that cannot be ended and have not ended."""
        ...

    def close(self) -> None:
        """Open no more, and end every run."""
        ...


class ThreadWorkshop:
    """Models run in this process.

    Args:
        at_once: runs at the same time, over all models.
        spinning: whether threads of a run keep their cores busy while they wait for each other.
    """

    def __init__(self, *, at_once: int, spinning: bool = False) -> None:
        self._threads = RunThreads(at_once)
        self._spinning = spinning

    @property
    def pending(self) -> int:
        """See `Workshop`."""
        return self._threads.pending

    def open(
        self,
        path: Path,
        *,
        policy: ProviderPolicy,
        threads: int,
        tuning: SessionTuning = AS_IT_COMES,
        at_once: int | None = None,
    ) -> Opened:
        """Open one; see `Workshop`."""
        model = open_model(
            path, policy=policy, threads=threads, tuning=tuning, spinning=self._spinning
        )
        engine = ThreadEngine(model, threads=self._threads, at_once=at_once)
        return Opened(
            inputs=model.inputs,
            outputs=model.outputs,
            provider=model.provider,
            placement=model.placement,
            lowered=model.lowered,
            at_once=engine.at_once,
            run=model.run,
            close=lambda: None,
            engine=lambda _: engine,
        )

    def close(self) -> None:
        """See `Workshop`."""
        self._threads.close()


class ProcessWorkshop:
    """Each model runs in a process of its own.

    Args:
        zygote: forks the processes.
        at_once: runs of one model at the same time.
        load_timeout_s: that opening a model may take, and each run before it serves.
        run_timeout_s: that a run may take.
        load_bytes: of memory that opening a model for the CPU may take; 0 is any amount, None what
            its files let expect.
        spinning: whether threads of a run keep their cores busy while they wait for each other.
    """

    pending = 0

    def __init__(
        self,
        zygote: Zygote,
        *,
        at_once: int,
        load_timeout_s: float,
        run_timeout_s: float,
        load_bytes: int | None = None,
        spinning: bool = False,
    ) -> None:
        self._zygote = zygote
        self._lock = threading.Lock()
        self._is_closed = False
        self._at_once = at_once
        self._load_timeout_s = load_timeout_s
        self._run_timeout_s = run_timeout_s
        self._load_bytes = load_bytes
        self._spinning = spinning

    def open(
        self,
        path: Path,
        *,
        policy: ProviderPolicy,
        threads: int,
        tuning: SessionTuning = AS_IT_COMES,
        at_once: int | None = None,
    ) -> Opened:
        """Open one; see `Workshop`."""
        question = Open(
            path=path.resolve(),
            policy=policy,
            threads=threads,
            tuning=tuning,
            spinning=self._spinning,
            memory_bytes=self._memory_for(path, policy),
            lanes=min(at_once or self._at_once, self._at_once),
        )
        return self._opened(question)[0]

    def close(self) -> None:
        """See `Workshop`."""
        with self._lock:
            self._is_closed = True
            self._zygote.close()

    def _opened(self, question: Open) -> tuple[Opened, Link]:
        link = self._link(question)

        def engine(trial: Callable[[Opened], object]) -> Engine:
            def relink() -> Link:
                opened, another = self._opened(question)
                try:
                    trial(opened)
                except BaseException:
                    another.close()
                    raise
                return another

            return ProcessEngine(link, relink=relink, run_timeout_s=self._run_timeout_s)

        model = link.model
        opened = Opened(
            inputs=model.inputs,
            outputs=model.outputs,
            provider=model.provider,
            placement=model.placement,
            lowered=model.lowered,
            at_once=link.at_once,
            run=link.run,
            close=link.close,
            engine=engine,
        )
        return opened, link

    def _link(self, question: Open) -> Link:
        zygote = self._zygote
        try:
            return Link(zygote, question, timeout_s=self._load_timeout_s)
        except ZygoteGone:
            with self._lock:
                if self._is_closed:
                    raise
                if self._zygote is zygote:  # else somebody else has replaced it
                    _log.error("the process that others are forked from has ended")
                    zygote.close()
                    self._zygote = Zygote.launch()
                zygote = self._zygote
        return Link(zygote, question, timeout_s=self._load_timeout_s)

    def _memory_for(self, path: Path, policy: ProviderPolicy) -> int:
        if resolve(policy)[0][0] != CPU:  # a device's driver reserves addresses beyond any limit
            return 0
        if self._load_bytes is not None:
            return self._load_bytes
        size = sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())
        return _LEAST_BYTES + _BYTES_A_BYTE * size
