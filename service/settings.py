"""The settings of the service, by argument or from the environment. Applies none of them."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bundle.providers import ProviderPolicy
from service.errors import SettingsInvalid
from service.repository.location import read_place

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "load_settings"]

ENVIRONMENT_PREFIX = "NORMSERVE_"

_SECRETS = (("admin_key",), ("inference_keys",), ("repository",))
"""Where problems are whose values no message tells."""


class _StrictEnvironment(EnvSettingsSource):
    """The environment, where a name that begins like a setting and is none is an error."""

    def __call__(self) -> dict[str, Any]:
        known = {name.upper() for name in self.settings_cls.model_fields}
        for name in sorted(map(str.upper, self.env_vars)):
            setting = name.removeprefix(self.env_prefix)
            if setting != name and setting not in known:
                near = difflib.get_close_matches(setting, known, n=1)
                there = ", ".join(self.env_prefix + other for other in near or sorted(known))
                hint = f"did you mean {there}?" if near else f"there are {there}"
                raise SettingsInvalid(f"the environment has {name}, which is no setting; {hint}")
        return super().__call__()


def _policy(spelling: str) -> str:
    return str(ProviderPolicy(spelling))


def _url_or_nothing(text: str) -> str:
    url = urlsplit(text)
    is_url = url.scheme in {"http", "https"} and url.hostname and not (url.query or url.fragment)
    if text and not is_url:
        raise ValueError("it must be the URL of a collector, such as http://127.0.0.1:4318")
    return text


class Settings(BaseSettings):
    """Everything about the service that can be chosen.

    Each setting can be given as an argument, or in the environment as ``NORMSERVE_`` and its name
    in capitals; an argument wins. A name in the environment that begins so and is no setting is an
    error, because a mistyped limit would otherwise be no limit.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    repository: Annotated[Path | str, BeforeValidator(read_place)] = Path("model_repository")
    """The folder of the models, each ``<model>/<version>/model.onnx``; or the URL of one, in S3,
    Google Cloud Storage, Azure Blob Storage or on a web server."""

    repository_cache: Path | None = None
    """The folder for copies of models that are elsewhere; ``~/.cache/normserve`` if left out."""

    repository_max_bytes: int = Field(default=64 * 2**30, ge=1)
    """The bytes that copies of models may take."""

    host: str = "127.0.0.1"
    """The address to listen on; ``0.0.0.0`` for every IPv4 address of this machine."""

    http_port: int = Field(default=8000, ge=0, le=65535)
    """The port of HTTP; 0 takes a free one and logs which."""

    http_workers: int = Field(default=1, ge=1, le=64)
    """Processes that have the connections of HTTP, in front of the one that computes; 1 is that
    one itself."""

    grpc_port: int = Field(default=8001, ge=0, le=65535)
    """The port of gRPC; 0 takes a free one and logs which."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] | Literal["none"] = 8002
    """The port of the metrics and of health, which asks for no key; 0 takes a free one and logs
    which, ``none`` is no such port."""

    admin_key: SecretStr | None = None
    """The key for operations that change the server; without one they are open while it is bound
    to loopback, and off otherwise."""

    admin_key_file: Path | None = None
    """A file with that key in it, instead."""

    inference_keys: SecretStr | None = None
    """The keys for inference, separated by commas or blanks; open to everybody if left out."""

    inference_keys_file: Path | None = None
    """A file with those keys in it, one a line, instead."""

    tls_certificate_file: Path | None = None
    """The certificate (PEM, with those between it and its root) that HTTP and gRPC are encrypted
    with; not encrypted if left out."""

    tls_key_file: Path | None = None
    """The certificate's private key (PEM, not encrypted)."""

    tls_client_ca_file: Path | None = None
    """The certificates (PEM) of which one must have signed a client's own; clients need none if
    left out."""

    provider: Annotated[str, AfterValidator(_policy)] = str(ProviderPolicy.AUTO)
    """Where models run: on a provider that is required (``cpu``, ``cuda``, ``tensorrt``,
    ``openvino``), on one as far as it can (``prefer:cuda`` …), or on CUDA where there is a device
    and on the CPU elsewhere (``auto``)."""

    allow_tf32: bool = False
    """Whether a GPU may compute products of 32-bit numbers with 10 bits of mantissa."""

    cuda_graphs: bool = False
    """Whether CUDA may record the runs of models with fixed shapes, and play them again."""

    engine_cache: Path | None = None
    """The folder that TensorRT keeps its engines in; they are built at each start if left out."""

    cores: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Cores that models may use; what affinity and the control group's quota leave if left out."""

    threads: int | None = Field(default=None, ge=0)
    """Threads of one run of a model; 0 is every core; the cores shared among the runs at the same
    time if left out, and 1 if these are left out too."""

    concurrent_runs: int | None = Field(default=None, ge=1)
    """Runs at the same time, over all models; the cores shared out among their threads if left
    out."""

    spinning: bool = False
    """Whether the threads of a run keep their cores busy while they wait for each other: quicker
    where nothing else wants these, and slower elsewhere."""

    max_waiting_requests: int = Field(default=256, ge=0)
    """Requests that may wait for a run; one more is answered 503."""

    max_waiting_bytes: int = Field(default=512 * 2**20, ge=1)
    """Bytes of inputs of all requests that wait or run; one that would go beyond is answered 503,
    unless it is the only one."""

    isolation: Literal["process", "thread"] = "process" if hasattr(os, "memfd_create") else "thread"
    """Where models run: each in a ``process`` of its own, which may crash or hang without harm to
    anything else, or on a ``thread`` of the server."""

    run_timeout_s: int = Field(default=300, ge=1)
    """Seconds that one run of a model may take, where it has a process of its own; then it is
    ended."""

    load_timeout_s: int = Field(default=600, ge=1)
    """Seconds that opening a model may take, and each run that tries it before it serves, where it
    has a process of its own."""

    load_memory_bytes: int | None = Field(default=None, ge=0)
    """Bytes of memory that opening a model may take, where it has a process of its own; 0 is any
    amount; 1 GiB and eight times the size of its files if left out."""

    max_batch_rows: int = Field(default=64, ge=1)
    """Rows of a run that different requests share, at most, where a certificate allows it and it
    pays; 1 is none."""

    batch_delay_us: int = Field(default=0, ge=0, le=10_000_000)
    """Microseconds that a request may wait for others to share its run; with 0, what waits goes as
    soon as something may run."""

    max_request_bytes: int = Field(default=64 * 2**20, ge=1)
    """The largest body of a request in bytes, both as sent and decompressed."""

    max_receiving_bytes: int = Field(default=2**30, ge=1)
    """Bytes of the bodies of all requests that are being answered, over HTTP of those that are
    coming too; one that would go beyond is answered 503 or UNAVAILABLE, unless it is the only one.
    Each of the transports may hold as many."""

    client_shared_memory: bool = False
    """Whether clients may register regions of this machine's shared memory, and have tensors read
    from and written to them."""

    compression_level: int = Field(default=1, ge=0, le=9)
    """How hard replies are compressed for clients that accept gzip or deflate; 0 is not at all."""

    consistency_at_load: bool = True
    """Whether batch certificates are established in the background once a model is loaded;
    otherwise only when a client asks for it."""

    consistency_cache: Path | None = None
    """The folder that certificates are kept in, so that the next start finds them; the repository
    if left out."""

    consistency_timeout_s: int = Field(default=600, ge=1)
    """Seconds that the examination of one model may take before it is given up."""

    canary_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """The fraction of requests that are computed a second time, alone and on the CPU, and compared;
    0 is none."""

    canary_max_waiting: int = Field(default=64, ge=1)
    """Requests that may wait for the canary; one more is not compared."""

    canary_max_bytes: int = Field(default=64 * 2**20, ge=1)
    """Bytes of tensors that may wait for the canary."""

    model_control: Literal["none", "explicit", "poll"] = "explicit"
    """Who may change the models: clients by load and unload (``explicit``), they and whoever
    changes the repository (``poll``), or nobody (``none``)."""

    poll_seconds: float = Field(default=15.0, ge=0.1)
    """Seconds between two looks at the repository, with ``poll``; a change is taken up at the
    second look that sees it."""

    version_policy: Annotated[int, Field(ge=1)] | Literal["latest", "all"] = "latest"
    """Which versions of a model are served where its ``config.pbtxt`` does not say: the latest one,
    so many of the latest, or all."""

    provenance: bool = False
    """Whether each reply says how it came about; otherwise those that are asked to."""

    strict_readiness: bool = True
    """Whether the server is ready only while every model version in the repository is; otherwise it
    is ready once each was loaded or has failed."""

    keep_alive_s: int = Field(default=75, ge=1)
    """Seconds after which an idle connection is closed, and one whose client stops in the middle of
    a request, or takes longer for a head."""

    shutdown_grace_s: int = Field(default=30, ge=0)
    """Seconds that requests in flight have to finish when the server is told to stop."""

    log_format: Literal["console", "json"] = "console"
    """How a line of the log looks: for a person, or one JSON object."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are logged; one line a request is ``info``."""

    otel_endpoint: Annotated[str, AfterValidator(_url_or_nothing)] = ""
    """The URL of an OpenTelemetry collector that traces are sent to (OTLP over HTTP), such as
    ``http://127.0.0.1:4318``; empty is none."""

    trace_ratio: float | None = Field(default=None, ge=0.0, le=1.0)
    """The fraction of requests without a trace of their own that are traced; what
    ``OTEL_TRACES_SAMPLER`` says if left out, and all if that is not there either."""

    @property
    def policy(self) -> ProviderPolicy:
        """Where models run, and what is allowed there."""
        return ProviderPolicy(
            self.provider,
            allow_tf32=self.allow_tf32,
            cuda_graphs=self.cuda_graphs,
            engines=self.engine_cache,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments and the environment, nothing else: a stray ``.env`` file changes nothing."""
        return init_settings, _StrictEnvironment(settings_cls)


def load_settings(**given: Any) -> Settings:
    """The settings from arguments and the environment.

    Args:
        given: settings by name; those that are ``None`` were not given.

    Raises:
        SettingsInvalid: a value cannot be, or the environment names a setting that is none.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as err:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}{_got(problem)}"
            for problem in err.errors()
        )
        raise SettingsInvalid(f"these settings cannot be: {problems}") from err


def _got(problem: ErrorDetails) -> str:
    """What was given instead, unless it is a secret."""
    is_secret = problem["loc"][:1] in _SECRETS
    return "" if is_secret else f" (got {problem['input']!r})"
