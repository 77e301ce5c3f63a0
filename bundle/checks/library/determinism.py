"""Does the same input give the same answer, bit for bit: again, in a new session, a new process?

Explained in ``docs/checks/determinism.md``.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from bundle.checks import again
from bundle.checks.parity import EXACTLY, feeds_of, finding, parity
from bundle.checks.subject import Feeds, Subject
from bundle.comparison import OutputComparison
from bundle.errors import RunFailed
from bundle.golden import Sample, encode_samples, read_samples
from bundle.manifest import Finding
from bundle.opener import OpenModel

__all__ = ["NAME", "check"]

NAME = "determinism"

_SECONDS = 300
_ROOT = Path(__file__).resolve().parents[3]

Answer = Mapping[str, np.ndarray]


def check(subject: Subject) -> Finding:
    """Run the same input twice in one session, then in a new session, then in a new process.

    Side effects: starts a process; a temporary folder, which is removed.

    Raises:
        BundleError: the model cannot be opened or run.
    """
    opened = subject.open()
    feed = feeds_of(subject, opened)[0]
    first = opened.run(feed)
    ways: Mapping[str, Callable[[Feeds], Answer]] = {
        "in the same session": opened.run,
        "in a new session": lambda feed: subject.open().run(feed),
        "in a new process": lambda feed: _in_a_new_process(subject, opened, feed),
    }
    exactly = {spec.name: EXACTLY for spec in opened.outputs}
    compared: tuple[OutputComparison, ...] = ()
    where = ""
    for where, run in ways.items():  # noqa: B007  # the last one is named where it failed
        compared = parity(lambda _: first, run, [feed], exactly)
        if not all(comparison.passed for comparison in compared):
            break
    return finding(
        NAME,
        compared,
        passed="the same input gives the same bits again, in a new session and in a new process",
        failed=f"the same input gives another answer {where}",
        remedy="take random operators out of the model; on a GPU, choose deterministic kernels",
    )


def _in_a_new_process(subject: Subject, opened: OpenModel, feed: Feeds) -> Answer:
    with tempfile.TemporaryDirectory(prefix="normserve-") as name:
        folder = Path(name)
        request = again.Request(
            model=_file_of(subject, folder),
            policy=subject.policy,
            threads=subject.threads,
            tuning=subject.tuning,
        )
        (folder / again.REQUEST).write_text(request.model_dump_json())
        for path, content in encode_samples([Sample(feed, {})], opened.inputs, ()).items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        done = subprocess.run(  # noqa: S603  # this interpreter, this package
            [sys.executable, "-m", again.__name__, name],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            last = next(iter(done.stderr.strip().splitlines()[-1:]), f"status {done.returncode}")
            raise RunFailed(f"the model does not run in a new process: {last}")
        (sample,) = read_samples(folder, (), opened.outputs)
        return sample.outputs


def _file_of(subject: Subject, folder: Path) -> Path:
    if isinstance(subject.model, Path):
        return subject.model.resolve()
    path = folder / "model.onnx"
    onnx.save_model(subject.model, path)
    return path
