"""One live server for the whole package: a model of each datatype, versions, and broken models.

Nothing is examined in the background, for what is examined has its own tests.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from bundle import Datatype
from service.settings import Settings
from tests.service import tiny

os.environ.setdefault("NORMSERVE_CONSISTENCY_AT_LOAD", "false")

# the same examples in each run, and no limit on one of them where cores are shared
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for datatype in Datatype:
        tiny.write_plain(folder, f"identity-{datatype.lower()}", tiny.identity(datatype))
    tiny.write_plain(folder, "scalar", tiny.identity(Datatype.FP32, ()))
    tiny.write_plain(folder, "add", tiny.add_and_subtract())
    tiny.write_plain(folder, "embedding", tiny.embedding())
    tiny.write_plain(folder, "two-dynamic", tiny.two_dynamic())
    tiny.write_plain(folder, "stats", tiny.scale(3.0))
    for version in (2, 9, 10):
        tiny.write_verified(folder, "versions", version=version, factor=version)
    tiny.write_verified(folder, "fallback", version=1, factor=1.0)
    tiny.write_verified(folder, "fallback", version=2, factor=2.0, says=2.5)
    for name in ("versions", "fallback"):
        tiny.write_config(folder, name, "version_policy { all {} }")
    tiny.write_verified(folder, "verified", batch_dependent=("bn1",))
    tiny.write_plain(folder, "broken", b"no model")
    return folder


@pytest.fixture(scope="session")
def url(repository: Path) -> Iterator[str]:
    settings = Settings(repository=repository, max_request_bytes=2**20)
    with tiny.live_server(settings) as address:
        yield address


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Accept-Encoding": "identity"}) as client:
        yield client
