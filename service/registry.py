"""Which model versions there are and what state each is in: the one place that knows.

Loads nothing and runs nothing. Readers (the transports) never wait: they see whole, immutable
entries. Writers (the loader) may come from any thread.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from service.codec import Outlines
from service.consistency import Batching, Consistency
from service.engine import Engine
from service.errors import ModelNotReady, ModelUnknown, VersionUnknown, excerpt
from service.runner import Runner
from service.signature import Signature
from service.statistics import Recorder

__all__ = ["Registry", "ServedModel", "State", "VersionEntry"]


class State(StrEnum):
    """The state of a model version, by its name in the protocol's repository index."""

    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"


_TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.UNAVAILABLE: frozenset({State.LOADING}),
    State.LOADING: frozenset({State.READY, State.UNAVAILABLE}),
    State.READY: frozenset(),
    State.UNLOADING: frozenset({State.UNAVAILABLE}),
}
"""What is READY goes on by way of what answers for it: `Registry.replace`, `begin_unloading` …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model version that can answer.

    Attributes:
        name: of the model.
        version: of the model.
        signature: what it takes and gives.
        runner: what computes it.
        engine: where it is computed, if that is to be told.
        consistency: whether it answers as it should, as far as that is known.
        properties: what is known of it, for people: verification, provider, golden error.
        config: what its ``config.pbtxt`` says, as a ``ModelConfig`` message, if it has one.
        labels: of the classes of an output, by its name.
        load_s: seconds that it took to load and to verify.
        recorder: keeps its statistics.
        outlines: of requests for it that were seen.
    """

    name: str
    version: int
    signature: Signature
    runner: Runner
    consistency: Consistency
    engine: Engine | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    config: Any | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    load_s: float = 0.0
    recorder: Recorder = field(default_factory=Recorder, compare=False)
    outlines: Outlines = field(default_factory=Outlines, compare=False)

    @property
    def batching(self) -> Batching:
        """Whether requests of different clients may be computed as one batch, and why."""
        return self.consistency.batching

    @property
    def has_batch(self) -> bool:
        """Whether its configuration has a batch, so that an inference is a row of a request."""
        return self.config is not None and self.config.max_batch_size > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionEntry:
    """A model version and its state.

    Attributes:
        name: of the model.
        version: of the model.
        state: where it is in its life.
        reason: why it is in that state; empty where the state says enough.
        model: what answers while it is READY or UNLOADING, or would if it were not suspended.
        is_wanted: whether it should answer; not after somebody unloaded it.
    """

    name: str
    version: int
    state: State
    reason: str = ""
    model: ServedModel | None = None
    is_wanted: bool = True


class Registry:
    """Model versions by name and number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, dict[int, VersionEntry]] = {}
        self._changed: Callable[[], None] = _nobody_is_told

    def follow(self, changed: Callable[[], None]) -> None:
        """Let somebody be told of every change, on whichever thread makes it."""
        self._changed = changed

    def begin_loading(self, name: str, version: int) -> None:
        """A version is being loaded; it may be new."""
        self._move(VersionEntry(name=name, version=version, state=State.LOADING))

    def finish_loading(self, model: ServedModel, *, reason: str = "") -> None:
        """A version that was loading can answer now; the reason is what else there is to say."""
        self._move(_ready(model, reason))

    def fail_loading(self, name: str, version: int, *, reason: str) -> None:
        """A version that was loading cannot be served."""
        self._move(VersionEntry(name=name, version=version, state=State.UNAVAILABLE, reason=reason))

    def replace(self, model: ServedModel, *, reason: str = "") -> None:
        """Another model takes the place of the one that is READY, or suspended, and its counts."""
        with self._lock:
            _, before = self._with_model(model.name, model.version)
            model.recorder.take_over(before.recorder)
            self._put(_ready(model, reason))

    def keep(self, name: str, version: int, *, reason: str) -> None:
        """A READY version stays, for a reason that the index tells.

        One that was suspended meanwhile keeps the reason for that.
        """
        with self._lock:
            entry, _ = self._with_model(name, version)
            if entry.state is State.READY:
                self._put(replace(entry, reason=reason))

    def suspend(self, model: ServedModel, reason: str) -> None:
        """A READY model cannot be asked for now; nothing happens if it is not in its place."""
        with self._lock:
            entry = self._entries.get(model.name, {}).get(model.version)
            if entry is not None and entry.model is model and entry.state is State.READY:
                self._put(replace(entry, state=State.UNAVAILABLE, reason=reason))

    def resume(self, model: ServedModel) -> None:
        """A model that was suspended can be asked again, unless something else has happened."""
        with self._lock:
            entry = self._entries.get(model.name, {}).get(model.version)
            if entry is not None and entry.model is model and entry.state is State.UNAVAILABLE:
                self._put(_ready(model, ""))

    def begin_unloading(self, name: str, version: int) -> ServedModel:
        """A version that is READY, or suspended, takes no more requests.

        Returns:
            What answers those that have begun.
        """
        with self._lock:
            entry, model = self._with_model(name, version)
            self._put(replace(entry, state=State.UNLOADING, reason="", is_wanted=False))
            return model

    def finish_unloading(self, name: str, version: int) -> None:
        """Nothing answers for a version any more."""
        self._move(
            VersionEntry(
                name=name,
                version=version,
                state=State.UNAVAILABLE,
                reason="unloaded",
                is_wanted=False,
            )
        )

    def dismiss(self, name: str, version: int) -> None:
        """A version that nothing answers for, whatever the reason is, need not answer any more."""
        with self._lock:
            entry = self._entries[name][version]
            if entry.state is not State.UNAVAILABLE:
                raise ValueError(f"'{name}' version {version} is {entry.state}")
            self._put(replace(entry, reason="unloaded", model=None, is_wanted=False))

    def remove(self, name: str, version: int) -> None:
        """Forget a version that nothing answers for: it is not in the repository any more."""
        with self._lock:
            versions = dict(self._entries.get(name, {}))
            gone = versions.pop(version, None)
            if gone is not None and gone.state is not State.UNAVAILABLE:
                raise ValueError(f"'{name}' version {version} is {gone.state}")
            others = {key: kept for key, kept in self._entries.items() if key != name}
            self._entries = {**others, name: versions} if versions else others
            self._changed()

    def entries(self) -> tuple[VersionEntry, ...]:
        """Every version of every model, by name, then number."""
        return tuple(
            entry for _, versions in sorted(self._entries.items()) for entry in versions.values()
        )

    def versions(self, name: str) -> tuple[VersionEntry, ...]:
        """Every version of a model, by number.

        Raises:
            ModelUnknown: no model has that name.
        """
        versions = self._entries.get(name)
        if versions is None:
            raise ModelUnknown(f"there is no model {excerpt(name)}")
        return tuple(versions.values())

    def find(self, name: str, version: int | None = None) -> ServedModel:
        """The model that answers requests for a version.

        Where no version is said, it is the READY one with the highest number: if a newer one
        failed to load, the one before it answers.

        Raises:
            ModelUnknown: no model has that name.
            VersionUnknown: the model has no such version.
            ModelNotReady: it cannot answer now; the message says why.
        """
        versions = self.versions(name)
        if version is None:
            for entry in reversed(versions):
                if entry.state is State.READY and entry.model is not None:
                    return entry.model
            raise _not_answering(versions[-1])
        for entry in versions:
            if entry.version == version:
                if entry.state is State.READY and entry.model is not None:
                    return entry.model
                raise _not_answering(entry)
        there = ", ".join(str(entry.version) for entry in versions)
        raise VersionUnknown(f"model {excerpt(name)} has no version {version}; it has {there}")

    def _with_model(self, name: str, version: int) -> tuple[VersionEntry, ServedModel]:
        """A version that is READY or suspended, and what answers for it, or would."""
        entry = self._entries[name][version]
        if entry.model is None or entry.state is State.UNLOADING:
            raise ValueError(f"'{name}' version {version} is {entry.state}")
        return entry, entry.model

    def _move(self, entry: VersionEntry) -> None:
        with self._lock:
            versions = self._entries.get(entry.name, {})
            current = versions.get(entry.version)
            state = State.UNAVAILABLE if current is None else current.state
            if entry.state not in _TRANSITIONS[state]:
                raise ValueError(
                    f"'{entry.name}' version {entry.version} cannot go from {state}"
                    f" to {entry.state}"
                )
            self._put(entry)

    def _put(self, entry: VersionEntry) -> None:
        # new mappings, so that readers never see one that changes under them
        versions = {**self._entries.get(entry.name, {}), entry.version: entry}
        by_number = {version: versions[version] for version in sorted(versions)}
        self._entries = {**self._entries, entry.name: by_number}
        self._changed()


def _nobody_is_told() -> None:
    pass


def _ready(model: ServedModel, reason: str) -> VersionEntry:
    return VersionEntry(
        name=model.name, version=model.version, state=State.READY, reason=reason, model=model
    )


def _not_answering(entry: VersionEntry) -> ModelNotReady | ModelUnknown:
    return ModelNotReady(_describe(entry)) if entry.is_wanted else ModelUnknown(_describe(entry))


def _describe(entry: VersionEntry) -> str:
    reason = f": {entry.reason}" if entry.reason else ""
    return f"model {excerpt(entry.name)} version {entry.version} is {entry.state}{reason}"
