"""What a tuning found out: a document, kept beside the configuration that it explains."""

import statistics
from datetime import datetime
from typing import Literal, Self

from bundle.document import Document
from bundle.tuning import SessionTuning
from normserve.tune.search import Duel, Rated
from normserve.tune.setting import Setting
from normserve.tune.stand import Objective

__all__ = ["FILE", "Comparison", "Evidence", "Run", "Trial"]

FILE = "tuning.json"


class Run(Document):
    """A way to run the model.

    Attributes:
        threads: of one run.
        instances: runs at the same time.
        rows: of a run that requests share.
        tuning: of the session.
    """

    threads: int
    instances: int
    rows: int
    tuning: SessionTuning

    @classmethod
    def of(cls, setting: Setting) -> Self:
        """A setting, as it is written down."""
        return cls(
            threads=setting.threads,
            instances=setting.instances,
            rows=setting.rows,
            tuning=setting.tuning,
        )


class Trial(Document):
    """What one way to run the model came to.

    Attributes:
        stage: that it was tried in.
        setting: the way, as text.
        run: the way.
        unmeasured: why it was not measured, or no more; empty if it was.
        rates: answers a second (for latency, one after another) in each pass of its last round.
        ratios: how many times as quick as the present way in the same pass.
    """

    stage: str
    setting: str
    run: Run
    unmeasured: str = ""
    rates: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()

    @classmethod
    def rated(cls, stage: str, rated: Rated[Setting]) -> Self:
        """One that was measured."""
        return cls(
            stage=stage,
            setting=str(rated.entrant),
            run=Run.of(rated.entrant),
            rates=rated.rates,
            ratios=rated.ratios,
        )

    @classmethod
    def without(cls, stage: str, setting: Setting, why: str) -> Self:
        """One that was not."""
        return cls(stage=stage, setting=str(setting), run=Run.of(setting), unmeasured=why)

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)


class Comparison(Document):
    """One way against the one that it would replace.

    Attributes:
        stage: that it ends.
        present: what would be replaced, as text.
        challenger: what would replace it, as text.
        ratios: how many times as quick the challenger was, in each round.
        ratio: their median.
        at_least: what the true median exceeds, by the rule; 0 if there were too few rounds.
        is_better: whether the challenger is, by the rule.
    """

    stage: str
    present: str
    challenger: str
    ratios: tuple[float, ...]
    ratio: float
    at_least: float
    is_better: bool

    @classmethod
    def of(cls, stage: str, present: Setting, challenger: Setting, duel: Duel) -> Self:
        """What a duel came to."""
        return cls(
            stage=stage,
            present=str(present),
            challenger=str(challenger),
            ratios=duel.ratios,
            ratio=duel.ratio,
            at_least=duel.at_least,
            is_better=duel.is_better,
        )


class Evidence(Document):
    """What a tuning found out.

    Attributes:
        schema_version: of this document.
        model: its name.
        version: that was measured.
        model_sha256: of its file and data.
        created: when, with its time zone.
        normserve: the version.
        runtime: name and version of what ran it.
        provider: the execution provider.
        device: what that runs on.
        cores: that it had.
        load: runnable threads of the whole machine before the first measurement (over one minute),
            whoever's they were; None where the system does not say.
        objective: what was wanted.
        budget_s: the seconds that it might take.
        seconds: that it took.
        batching: what the certificate says of runs that requests share.
        rule: by which something is better.
        present: the way it was run before.
        chosen: the way that was found; the same as ``present`` where none is better.
        gain: of the chosen over the present way; None where none is better, and nothing changes.
        comparisons: what was decided, in order.
        trials: all that was tried.
    """

    schema_version: Literal[1] = 1
    model: str
    version: int
    model_sha256: str
    created: datetime
    normserve: str
    runtime: str
    provider: str
    device: str
    cores: int
    load: float | None
    objective: Objective
    budget_s: float
    seconds: float
    batching: str
    rule: str
    present: Run
    chosen: Run
    gain: Comparison | None
    comparisons: tuple[Comparison, ...]
    trials: tuple[Trial, ...]
