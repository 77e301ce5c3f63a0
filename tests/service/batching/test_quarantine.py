import asyncio

import numpy as np
import pytest

from service.batching.quarantine import Quarantine
from service.batching.queue import LEAST_URGENT, Job
from service.errors import RequestQuarantined


def job(array):
    return Job(
        {"x": array},
        ("y",),
        urgency=LEAST_URGENT,
        submitted_ns=0,
        answer=asyncio.get_running_loop().create_future(),
    )


async def test_equal_inputs_are_kept_out_and_others_are_not():
    quarantine = Quarantine()
    quarantine.add(job(np.array([[1.0]])))
    with pytest.raises(RequestQuarantined):
        quarantine.check(job(np.array([[1.0]])))
    quarantine.check(job(np.array([[2.0]])))
    quarantine.check(job(np.array([1.0])))
    quarantine.check(job(np.array([[1.0]], np.float32)))


async def test_strings_are_told_apart():
    quarantine = Quarantine()
    quarantine.add(job(np.array([b"a", b"bc"], dtype=object)))
    quarantine.check(job(np.array([b"ab", b"c"], dtype=object)))
    with pytest.raises(RequestQuarantined):
        quarantine.check(job(np.array([b"a", b"bc"], dtype=object)))


async def test_it_ends():
    now = [0.0]
    quarantine = Quarantine(clock=lambda: now[0])
    quarantine.add(job(np.array([1.0])))
    now[0] = 59.0
    with pytest.raises(RequestQuarantined, match="for 1 s"):
        quarantine.check(job(np.array([1.0])))
    now[0] = 61.0
    quarantine.check(job(np.array([1.0])))
