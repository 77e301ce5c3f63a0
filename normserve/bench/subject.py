"""The model that is measured: where it is, what it is asked, what is right. Measures nothing."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from pydantic import TypeAdapter

from bundle import (
    MODEL,
    Datatype,
    InputInvalid,
    TensorSpec,
    Tolerance,
    compare,
    model_versions,
    read_bundle,
)
from bundle.checks import Subject
from bundle.checks.batch import NotBatchable, batch_of
from bundle.checks.parity import feeds_of
from bundle.checks.rounding import rounding_tolerances
from bundle.checks.rows import pools, synthetic_feeds
from normserve.bench.processes import ProcessTree
from normserve.bench.server import established, normserve
from normserve.bench.shots import HTTP_BINARY, Arrays, Refused, Shot, Target, ask, forms, send

__all__ = ["Asked", "Local", "NoModel", "WrongAnswer", "local", "remote"]

_REMOTE_ERROR = 1e-3
"""Of the largest value, that answers over two transports may be apart: a server whose model is not
here may compute them in different batches."""


class NoModel(Exception):
    """There is nothing to measure; the message says what is missing."""


class WrongAnswer(Exception):
    """A server answers something else than the model; its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A server that answers right, and the requests to measure it with.

    Attributes:
        target: where it listens.
        shots: the request, by the names of its forms.
        processes: the server's own, where it was started for this.
        shared_rows: that requests are computed together with; None where that is not known.
    """

    target: Target
    shots: Mapping[str, Shot]
    processes: ProcessTree | None
    shared_rows: int | None


@dataclass(frozen=True, slots=True)
class Local:
    """A model in a repository here.

    Attributes:
        subject: for a session in this process.
        folder: of the model, with its versions.
        version: that is asked.
        feeds: one request.
        is_batchable: whether requests may be put together along axis 0.
    """

    subject: Subject
    folder: Path
    version: int
    feeds: Arrays
    is_batchable: bool

    @classmethod
    def find(cls, repository: Path, model: str, *, version: int | None, rows: int) -> "Local":
        """The latest version of a model, or that one.

        Raises:
            NoModel: the repository has none of that name and version.
            BundleError: it cannot be read or run.
        """
        folder = repository / model
        versions = {v.version: v for v in model_versions(folder)} if folder.is_dir() else {}
        number = version or max(versions, default=0)
        if number not in versions:
            wanted = f"version {version} of '{model}'" if version else f"model '{model}'"
            raise NoModel(f"there is no {wanted} in '{repository}'.")
        found = versions[number]
        subject = (
            Subject.of_bundle(read_bundle(found.path))
            if found.has_manifest
            else Subject(model=found.path / MODEL)
        )
        opened = subject.open()
        try:
            batch_of(subject, opened.inputs)
        except NotBatchable:
            return cls(subject, folder, number, feeds_of(subject, opened)[0], is_batchable=False)
        feeds = pools(subject, opened, rows=rows)[0].first(rows).arrays
        return cls(subject, folder, number, feeds, is_batchable=True)


@contextmanager
def local(model: Local, settings: Mapping[str, object] | None = None) -> Iterator[Asked]:
    """A server of its own over one model, once it is known which requests share runs.

    Raises:
        ServerFailed: it does not answer.
        WrongAnswer: it answers something else than the model.
    """
    answer = model.subject.open().run(model.feeds)
    tolerances = rounding_tolerances(model.subject, [model.feeds], [answer])
    name = model.folder.name
    with tempfile.TemporaryDirectory(prefix="normserve-bench-") as folder:
        repository = Path(folder)
        (repository / name).symlink_to(model.folder.resolve(), target_is_directory=True)
        given = {
            "consistency_cache": model.folder.parent.resolve(),
            "version_policy": "all",
            "max_request_bytes": 1 << 31,
            **(settings or {}),
        }
        with normserve(repository, settings=given) as server:
            shots = forms(name, model.feeds, version=str(model.version))
            _verify(server.target, shots, answer, tolerances)
            rows = established(server, name, version=str(model.version))
            yield Asked(server.target, shots, server.processes, rows)


def remote(
    target: Target, model: str, *, version: str = "", rows: int = 1, key: str | None = None
) -> Asked:
    """A model of a server that runs somewhere, asked for random inputs of the shapes it declares.

    Raises:
        NoModel: the server does not answer, or has no such model.
        InputInvalid: no input was found that the model can compute.
        WrongAnswer: its answers over two transports are not the same.
    """
    at = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
    shown = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        content, _ = send(target, Shot(at, headers=shown))
    except Refused as err:
        raise NoModel(str(err)) from err
    specs = TypeAdapter(tuple[TensorSpec, ...]).validate_python(
        [
            {**spec, "shape": ["?" if size == -1 else size for size in spec["shape"]]}
            for spec in json.loads(content)["inputs"]
        ]
    )

    def asking(feeds: Arrays) -> Mapping[str, Shot]:
        return forms(model, feeds, version=version, key=key)

    nothing_known = Subject(model=onnx.ModelProto())
    feeds = synthetic_feeds(nothing_known, _Remote(target, specs, asking), rows=rows)
    shots = {name: s for name, s in asking(feeds).items() if target.grpc or not s.is_grpc}
    try:
        answer = ask(target, shots[HTTP_BINARY])
    except Refused as err:
        raise NoModel(str(err)) from err
    tolerances = {
        name: Tolerance(
            atol=_REMOTE_ERROR * float(np.abs(array.astype(np.float64)).max(initial=0)),
            rtol=0.0,
            source=f"{_REMOTE_ERROR:g} of the largest value",
        )
        for name, array in answer.items()
        if Datatype.from_numpy(array.dtype).is_float
    }
    _verify(target, shots, answer, tolerances)
    return Asked(target, shots, None, None)


class _Remote:
    """A model elsewhere, as one that runs."""

    def __init__(
        self,
        target: Target,
        inputs: Sequence[TensorSpec],
        asking: Callable[[Arrays], Mapping[str, Shot]],
    ) -> None:
        self.inputs = inputs
        self._target = target
        self._asking = asking

    def run(self, feeds: Arrays, /) -> Arrays:
        try:
            return ask(self._target, self._asking(feeds)[HTTP_BINARY])
        except Refused as err:
            raise InputInvalid(str(err)) from err


def _verify(
    target: Target,
    shots: Mapping[str, Shot],
    answer: Arrays,
    tolerances: Mapping[str, Tolerance],
) -> None:
    for form, shot in shots.items():
        try:
            got = ask(target, shot)
        except Refused as err:
            raise WrongAnswer(f"{form} is refused: {err}") from err
        wrong = [each for each in compare(answer, got, tolerances) if not each.passed]
        if wrong:
            raise WrongAnswer(
                f"what comes over {form} is not the model's answer: {wrong[0].reason}"
            )
