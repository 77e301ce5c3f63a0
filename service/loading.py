"""A repository's folders to models that answer, or to the reason why not. Decides no states.

A bundle is served only if every file is the one that was written, its tensors are those of its
manifest, and every golden sample was run again, on the provider that it will run on, and agreed. A
plain Triton folder has no manifest to hold it against: it is served, and says that it is
unverified. Golden samples that lie in such a folder are not looked at: nothing says how far off
they may be.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from bundle import (
    MODEL,
    BundleError,
    Manifest,
    ProviderPolicy,
    VersionFolder,
    read_bundle,
)
from bundle.checks import Subject
from service.batching import Batchers
from service.budget import Budget
from service.consistency import Consistency, Examiner, Exported, Golden, Placement, Source
from service.consistency.source import manifest_sha256
from service.engine import Opened, Workshop
from service.errors import EngineFailed, LoadFailed
from service.model_config import read_labels
from service.model_options import ModelOptions, fit_tensors, not_honoured, read_options
from service.placing import placement_properties, warn_of_placement
from service.registry import ServedModel
from service.repository import PlannedVersion
from service.repository.stamps import FileStamps, file_stamps
from service.share import Share
from service.signature import Signature
from service.verification import golden_samples, require_tensors, verify
from service.warming import in_known_sizes, most_rows_of, warm

__all__ = ["Loader"]

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A version that is being loaded; ``stamps`` are of its files when that began."""

    version: PlannedVersion
    options: ModelOptions
    share: Share
    stamps: FileStamps


class Loader:
    """Loads model versions, several at a time.

    Args:
        policy: where models run.
        budget: of their runs.
        workshop: opens the models, and runs them once they are loaded.
        batchers: form their runs.
        examiner: establishes, after that, what takes longer than readiness can wait for.
        at_once: versions that are loaded at the same time.
    """

    def __init__(
        self,
        *,
        policy: ProviderPolicy,
        budget: Budget,
        workshop: Workshop,
        batchers: Batchers,
        examiner: Examiner,
        at_once: int,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._workshop = workshop
        self._batchers = batchers
        self._examiner = examiner
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="load")

    def close(self) -> None:
        """Begin no more loads; those that have begun end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def load(self, version: PlannedVersion) -> ServedModel:
        """Load one version.

        Raises:
            LoadFailed: it cannot be served; the message is the reason.
        """
        if version.problem:
            raise LoadFailed(version.problem)
        folder = version.folder
        options = read_options(version.config, name=folder.name)
        begun = time.perf_counter()
        try:
            share = Share.of(options, self._budget)
            attempt = _Attempt(version, options, share, file_stamps(folder.path))
            load = self._load_bundle if folder.has_manifest else self._load_plain
            model = load(attempt)
        except (BundleError, EngineFailed, OSError) as err:
            raise LoadFailed(_without_paths(err, folder)) from err
        return replace(model, load_s=time.perf_counter() - begun)

    async def load_beside(self, version: PlannedVersion) -> ServedModel:
        """Load one version while others answer.

        Raises:
            LoadFailed: it cannot be served; the message is the reason.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self.load, version)
        except LoadFailed:
            raise
        except Exception as err:
            # The edge of a loading thread: whatever a model file provokes in a library, the other
            # models are still served and this one says that it is not.
            folder = version.folder
            _log.exception("model unavailable", model=folder.name, version=folder.version)
            raise LoadFailed("an unexpected error; the server's log has the details") from err

    def _load_bundle(self, attempt: _Attempt) -> ServedModel:
        folder = attempt.version.folder
        bundle = read_bundle(folder.path)
        manifest = bundle.manifest
        for spec in manifest.outputs:
            if spec.datatype.is_float and spec.name not in manifest.tolerances:
                raise LoadFailed(f"the manifest has no tolerance for output '{spec.name}'")
        opened = self._open(bundle.model_path, attempt)
        try:
            require_tensors(opened, manifest)
            samples = golden_samples(folder, manifest)

            def verify_and_warm(another: Opened) -> Golden:
                golden = verify(another, manifest, samples)
                warm(another, manifest, samples, most=self._most_rows(manifest, attempt.options))
                return golden

            golden = verify_and_warm(opened)
            return self._serve(
                attempt,
                opened,
                manifest=manifest,
                golden=golden,
                trial=verify_and_warm,
                properties={
                    "verified": "true",
                    "golden_samples": str(golden.samples),
                    "golden_max_abs_error": f"{golden.max_abs_error:.3g}",
                    "batch_dependent": ", ".join(manifest.batch_dependent) or "none known",
                },
            )
        except BaseException:
            opened.close()
            raise

    def _load_plain(self, attempt: _Attempt) -> ServedModel:
        opened = self._open(attempt.version.folder.path / MODEL, attempt)
        try:
            return self._serve(
                attempt,
                opened,
                manifest=None,
                golden=None,
                trial=lambda _: None,
                properties={
                    "verified": "false",
                    "verified_reason": (
                        "there is no manifest: what the model should answer is unknown"
                    ),
                    "batch_dependent": "unknown",
                },
            )
        except BaseException:
            opened.close()
            raise

    def _open(self, path: Path, attempt: _Attempt) -> Opened:
        share = attempt.share
        return self._workshop.open(
            path,
            policy=attempt.options.policy(self._policy),
            threads=share.threads,
            tuning=share.tuning,
            at_once=share.runs,
        )

    def _serve(
        self,
        attempt: _Attempt,
        opened: Opened,
        *,
        manifest: Manifest | None,
        golden: Golden | None,
        trial: Callable[[Opened], object],
        properties: dict[str, str],
    ) -> ServedModel:
        version, options, share = attempt.version, attempt.options, attempt.share
        folder, config = version.folder, version.config
        nodes = opened.placement.counts()
        signature = Signature(
            inputs=fit_tensors(config, "input", opened.inputs),
            outputs=fit_tensors(config, "output", opened.outputs),
            dimensions=manifest.dimensions if manifest is not None else {},
            max_rows=options.max_batch_size or None,
        )
        labels = read_labels(config, folder.path.parent)
        ignored = not_honoured(config, provider=opened.provider, at_once=opened.at_once)
        if ignored:
            _log.warning(
                "configuration not honoured",
                model=folder.name,
                version=folder.version,
                options=ignored,
            )
        source = self._source(attempt)
        consistency = Consistency(
            source,
            placement=Placement(
                provider=opened.provider,
                nodes=nodes,
                lowered=opened.lowered,
                passed_over=opened.placement.passed_over,
            ),
            golden=golden,
            exported=Exported.of(manifest) if manifest is not None else None,
            wanted_rows=options.rows,
            max_rows=options.max_batch_size or None,
        )

        def try_again(another: Opened) -> None:
            source.subject()  # what is there now must be what was loaded
            trial(another)

        warn_of_placement(opened, model=folder.name, version=folder.version)
        if file_stamps(folder.path) != attempt.stamps:  # what was digested may not be what runs
            raise LoadFailed("its files were changed while it was loaded; load it again")
        share.warn(model=folder.name, version=folder.version)
        engine = opened.engine(try_again)
        return ServedModel(
            name=folder.name,
            version=folder.version,
            signature=signature,
            runner=self._batchers.batcher(
                in_known_sizes(
                    engine,
                    opened,
                    most=self._most_rows(manifest, options),
                    is_allowed=lambda: consistency.batching.allowed,
                ),
                threads=share.busy,
                rows=lambda: consistency.batching.rows,
                plan=options.plan,
            ),
            engine=engine,
            consistency=consistency,
            properties={
                **properties,
                "inputs": "; ".join(map(str, opened.inputs)),
                "outputs": "; ".join(map(str, opened.outputs)),
                **placement_properties(opened),
                "instances": str(opened.at_once),
                "threads": str(share.threads),
                **({"tuning": str(share.tuning)} if str(share.tuning) else {}),
                **({"config_not_honoured": ", ".join(ignored)} if ignored else {}),
                **({"remark": version.remark} if version.remark else {}),
            },
            config=config,
            labels=labels,
        )

    def _most_rows(self, manifest: Manifest | None, options: ModelOptions) -> int:
        """Of a batch that the service forms of a model's requests."""
        limits = [self._batchers.max_rows, options.max_batch_size or self._batchers.max_rows]
        if manifest is not None and (maximum := most_rows_of(manifest)) is not None:
            limits.append(maximum)
        return min(limits)

    def _source(self, attempt: _Attempt) -> Source:
        folder = attempt.version.folder
        path = folder.path.resolve()
        return Source(
            name=folder.name,
            version=folder.version,
            folder=path,
            manifest_sha256=manifest_sha256(path),
            policy=attempt.options.policy(self._policy),
            threads=attempt.share.threads,
            tuning=attempt.share.tuning,
            model_sha256=Subject(model=path / MODEL).sha256(),
        )


def _without_paths(error: Exception, folder: VersionFolder) -> str:
    """What went wrong, with the model's folder where the path to it on this machine would be."""
    home = folder.path.parent.parent
    said = str(error).rstrip(".")
    for prefix in {str(home), str(home.resolve()), str(home.absolute())}:
        said = said.replace(f"{prefix}/", "")
    return said
