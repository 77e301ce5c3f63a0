"""A repository's folders to models that answer, or to the reason why not. Decides no states.

A bundle is served only if every file is the one that was written, its tensors are those of its
manifest, and every golden sample was run again, on the provider that it will run on, and agreed. A
plain Triton folder has no manifest to hold it against: it is served, and says that it is
unverified. Golden samples that lie in such a folder are not looked at: nothing says how far off
they may be.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from bundle import (
    MODEL,
    BundleError,
    Manifest,
    OpenModel,
    OutputComparison,
    ProviderPolicy,
    VersionFolder,
    find_versions,
    open_model,
    read_bundle,
    read_samples,
    replay,
)
from bundle.checks import Subject
from service.consistency import Consistency, Examiner, Exported, Golden, Placement, Source
from service.consistency.source import manifest_sha256
from service.errors import LoadFailed, RepositoryMissing
from service.model_config import ignored_options, read_config_file, read_labels
from service.registry import Registry, ServedModel
from service.runner import InProcessRunner, RunPool
from service.signature import Signature

__all__ = ["Loader", "check_repository"]

_log = structlog.stdlib.get_logger(__name__)


def check_repository(repository: Path) -> None:
    """Whether there is a repository to load from.

    Raises:
        RepositoryMissing: the path is no folder, or may not be read.
    """
    try:
        next(repository.iterdir(), None)
    except OSError as err:
        raise RepositoryMissing(
            f"the model repository '{repository}' cannot be read: {err.strerror}; give the folder"
            " that holds <model>/<version>/model.onnx"
        ) from err


class Loader:
    """Loads model versions, several at a time.

    Args:
        policy: where models run.
        threads: of one run.
        pool: runs the models once they are loaded.
        examiner: establishes, after that, what takes longer than readiness can wait for.
        at_once: versions that are loaded at the same time.
    """

    def __init__(
        self,
        *,
        policy: ProviderPolicy,
        threads: int,
        pool: RunPool,
        examiner: Examiner,
        at_once: int,
    ) -> None:
        self._policy = policy
        self._threads = threads
        self._pool = pool
        self._examiner = examiner
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix="load")

    async def load_repository(self, repository: Path, registry: Registry) -> None:
        """Load every version of a repository into a registry, and return when all have ended.

        Side effects: every version is LOADING in the registry before the first is looked at.
        """
        loop = asyncio.get_running_loop()
        folders = await loop.run_in_executor(self._executor, find_versions, repository)
        for folder in folders:
            registry.begin_loading(folder.name, folder.version)
        await asyncio.gather(
            *(
                loop.run_in_executor(self._executor, self._load_into, registry, folder)
                for folder in folders
            )
        )

    def close(self) -> None:
        """Begin no more loads; those that have begun end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def load(self, folder: VersionFolder) -> ServedModel:
        """Load one version.

        Raises:
            LoadFailed: it cannot be served; the message is the reason.
        """
        try:
            before = _stamps(folder.path)
            model = self._load_bundle(folder) if folder.has_manifest else self._load_plain(folder)
            after = _stamps(folder.path)
        except (BundleError, OSError) as err:
            raise LoadFailed(str(err).rstrip(".")) from err
        if after != before:  # what was digested may not be what was opened
            raise LoadFailed(f"'{folder.path}' was changed while it was loaded; load it again")
        return model

    async def load_beside(self, folder: VersionFolder) -> ServedModel:
        """Load one version while others answer.

        Raises:
            LoadFailed: it cannot be served; the message is the reason.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self.load, folder)
        except LoadFailed:
            raise
        except Exception as err:
            # The edge of a loading thread, as in `_load_into`.
            _log.exception("model unavailable", model=folder.name, version=folder.version)
            raise LoadFailed("an unexpected error; the server's log has the details") from err

    def _load_into(self, registry: Registry, folder: VersionFolder) -> None:
        log = _log.bind(model=folder.name, version=folder.version)
        try:
            model = self.load(folder)
        except LoadFailed as err:
            registry.fail_loading(folder.name, folder.version, reason=str(err))
            log.warning("model unavailable", reason=str(err))
        except Exception:
            # The edge of a loading thread: whatever a model file provokes in a library, the other
            # models are still served and this one says that it is not.
            reason = "an unexpected error; the server's log has the details"
            registry.fail_loading(folder.name, folder.version, reason=reason)
            log.exception("model unavailable")
        else:
            self._examiner.recall(model.consistency)
            registry.finish_loading(model)
            self._examiner.establish(model.consistency)
            log.info("model ready", provider=model.properties["provider"])

    def _load_bundle(self, folder: VersionFolder) -> ServedModel:
        bundle = read_bundle(folder.path)
        manifest = bundle.manifest
        opened = self._open(bundle.model_path)
        if (opened.inputs, opened.outputs) != (manifest.inputs, manifest.outputs):
            raise LoadFailed(
                f"the manifest declares {_tensors(manifest)}; the model file has {_tensors(opened)}"
            )
        samples = read_samples(folder.path, manifest.inputs, manifest.outputs)
        if not samples:
            raise LoadFailed("the bundle has no golden sample to verify it with")
        for spec in manifest.outputs:
            if spec.datatype.is_float and spec.name not in manifest.tolerances:
                raise LoadFailed(f"the manifest has no tolerance for output '{spec.name}'")
        comparisons = replay(opened, samples, manifest.tolerances)
        failed = next((c for c in comparisons if not c.passed), None)
        if failed is not None:
            raise LoadFailed(
                f"output '{failed.name}' does not agree with its golden sample on"
                f" {opened.provider}: {failed.reason.rstrip('.')}"
            )
        golden = Golden(
            samples=len(samples), max_abs_error=_worst(comparisons), replayed=datetime.now(UTC)
        )
        return self._serve(
            folder,
            opened,
            manifest=manifest,
            golden=golden,
            properties={
                "verified": "true",
                "golden_samples": str(golden.samples),
                "golden_max_abs_error": f"{golden.max_abs_error:.3g}",
                "batch_dependent": ", ".join(manifest.batch_dependent) or "none known",
            },
        )

    def _load_plain(self, folder: VersionFolder) -> ServedModel:
        return self._serve(
            folder,
            self._open(folder.path / MODEL),
            manifest=None,
            golden=None,
            properties={
                "verified": "false",
                "verified_reason": "there is no manifest: what the model should answer is unknown",
                "batch_dependent": "unknown",
            },
        )

    def _open(self, path: Path) -> OpenModel:
        return open_model(path, policy=self._policy, threads=self._threads)

    def _serve(
        self,
        folder: VersionFolder,
        opened: OpenModel,
        *,
        manifest: Manifest | None,
        golden: Golden | None,
        properties: dict[str, str],
    ) -> ServedModel:
        nodes = opened.placement.counts()
        config = read_config_file(folder.path.parent)
        return ServedModel(
            name=folder.name,
            version=folder.version,
            signature=Signature(
                inputs=opened.inputs,
                outputs=opened.outputs,
                dimensions=manifest.dimensions if manifest is not None else {},
            ),
            runner=InProcessRunner(opened, pool=self._pool),
            consistency=Consistency(
                self._source(folder),
                placement=Placement(provider=opened.provider, nodes=nodes, lowered=opened.lowered),
                golden=golden,
                exported=Exported.of(manifest) if manifest is not None else None,
            ),
            properties={
                **properties,
                "inputs": "; ".join(map(str, opened.inputs)),
                "outputs": "; ".join(map(str, opened.outputs)),
                "provider": opened.provider,
                "placement": ", ".join(f"{provider}: {count}" for provider, count in nodes.items()),
                **_not_honoured(config),
            },
            config=config,
            labels=read_labels(config, folder.path.parent),
        )

    def _source(self, folder: VersionFolder) -> Source:
        path = folder.path.resolve()
        return Source(
            name=folder.name,
            version=folder.version,
            folder=path,
            manifest_sha256=manifest_sha256(path),
            policy=self._policy,
            threads=self._threads,
            model_sha256=Subject(model=path / MODEL).sha256(),
        )


def _not_honoured(config: Any | None) -> dict[str, str]:
    ignored = () if config is None else ignored_options(config)
    return {"config_not_honoured": ", ".join(ignored)} if ignored else {}


def _worst(comparisons: Sequence[OutputComparison]) -> float:
    return max((c.max_abs_error for c in comparisons if c.max_abs_error is not None), default=0.0)


def _stamps(folder: Path) -> set[tuple[Path, int, int, int]]:
    """What a file in a folder cannot be replaced or written without changing."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    stats = [(path, path.stat()) for path in paths]
    return {(path, stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats}


def _tensors(of: Manifest | OpenModel) -> str:
    inputs, outputs = ("; ".join(map(str, specs)) for specs in (of.inputs, of.outputs))
    return f"[{inputs}] → [{outputs}]"
