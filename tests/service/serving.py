"""A service without a transport, and what it answers, for tests of models that change."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np

from service.inference import InferenceRequest
from service.lifecycle import Service
from service.repository import VersionPolicy, make_plan
from service.settings import Settings
from tests.service import tiny


def planned(repository, name="m"):
    """The only version of a model that should be served."""
    (version,) = make_plan(repository / name, default=VersionPolicy()).wanted.values()
    return version


@asynccontextmanager
async def service_of(repository, **settings):
    """A service that has gone through its repository once."""
    made = Settings(repository=repository, consistency_at_load=False, **settings)
    async with Service(made) as service:
        await settle(lambda: "loading" not in str(service.plane.readiness()))
        yield service


async def settle(condition, **how):
    await asyncio.to_thread(tiny.wait_for, condition, **how)


async def ask(service, name="m", version=None):
    """What the model makes of ones, and the version that did."""
    model = service.plane.model(name, version)
    ones = {"x": np.ones((1, 2), np.float32)}
    request = InferenceRequest(id=None, parameters={}, inputs=ones, outputs=("y",))
    reply = await service.plane.infer(model, request)
    return float(reply.outputs[0].array[0, 0]), reply.model_version


def index(service):
    """State and reason of every version, by name and number."""
    return {(e.name, e.version): (e.state.value, e.reason) for e in service.plane.index()}
