"""Load on a server: as many requests as were wanted, and what became of each."""

import shutil
from collections import Counter

import numpy as np
import pytest

from normserve.bench.load import FAILED, fire
from normserve.bench.server import free_port
from normserve.bench.shots import GRPC, HTTP_JSON, Shot, Target, forms
from tests.service import tiny
from tests.service.process import process


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    repository = tmp_path_factory.mktemp("load")
    tiny.write_verified(repository, "m", factor=2.0)
    with process(repository, consistency_at_load="false") as (server, url):
        yield Target(url, server.listening["grpc"])


@pytest.fixture(params=["h2load", "our own client"], autouse=True)
def generator(request, monkeypatch):
    """What makes the load."""
    if request.param == "our own client":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif shutil.which("h2load") is None:
        pytest.skip("h2load is not installed here")


ASKED = forms("m", {"x": np.ones((1, 2), np.float32)})


@pytest.mark.parametrize("form", ASKED)
def test_each_of_the_wanted_requests_is_answered_once(target, form):
    answers = fire(target, ASKED[form], concurrency=3, requests=20)
    assert len(answers) == 20
    assert answers.is_good.all()
    assert (answers.took_s > 0).all()


def test_refusals_are_told_from_answers(target):
    wrong = Shot(ASKED[HTTP_JSON].path, b"{", ASKED[HTTP_JSON].headers)
    answers = fire(target, wrong, concurrency=2, requests=6)
    assert Counter(answers.status.tolist()) == {400: 6}
    assert not answers.is_good.any()


def test_a_route_is_asked_without_a_body(target):
    assert fire(target, Shot("/v2/health/live"), concurrency=1, requests=3).is_good.all()


def test_a_rate_is_a_bound_on_each_connection(target):
    answers = fire(target, ASKED[HTTP_JSON], concurrency=2, seconds=1.0, each_per_s=5)
    assert 1 <= len(answers) <= 14
    assert answers.is_good.all()


@pytest.mark.parametrize("form", [HTTP_JSON, GRPC])
def test_where_nobody_listens_nothing_is_answered(form):
    nowhere = Target(f"http://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    answers = fire(nowhere, ASKED[form], concurrency=1, requests=2)
    assert not answers.is_good.any()
    assert set(answers.status.tolist()) <= {FAILED}
