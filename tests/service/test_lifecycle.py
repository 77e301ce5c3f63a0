"""The parts together: what is ready first, what is established then, what the next start knows."""

import asyncio

from service.consistency import Phase
from service.lifecycle import Service
from service.settings import Settings
from tests.service import tiny


async def settled(condition):
    await asyncio.to_thread(tiny.wait_for, condition, seconds=60)


def phases(service):
    return {
        entry.name: entry.model.consistency.status.phase
        for entry in service.registry.entries()
        if entry.model is not None
    }


def repository(tmp_path, *, models):
    folder = tmp_path / "models"
    for number in range(models):
        tiny.write_verified(folder, f"m{number}", factor=number + 1.0)
    return folder


async def test_models_answer_before_their_certificates_are_established(tmp_path):
    settings = Settings(repository=repository(tmp_path, models=12), consistency_at_load=True)
    async with Service(settings) as service:
        await settled(lambda: service.plane.readiness().ready)
        assert Phase.ESTABLISHING in phases(service).values()
        await settled(lambda: set(phases(service).values()) == {Phase.ESTABLISHED})
        assert all(entry.model.batching.allowed for entry in service.registry.entries())


async def test_the_next_start_knows_what_this_one_established(tmp_path):
    settings = Settings(repository=repository(tmp_path, models=2), consistency_at_load=True)
    async with Service(settings) as service:
        await settled(lambda: set(phases(service).values()) == {Phase.ESTABLISHED})
    async with Service(settings) as service:
        await settled(lambda: service.plane.readiness().ready)
        for entry in service.registry.entries():
            assert entry.model.consistency.status.is_kept
            assert entry.model.batching.allowed


async def test_certificates_are_kept_where_the_setting_says(tmp_path):
    folder = repository(tmp_path, models=1)
    settings = Settings(
        repository=folder, consistency_cache=tmp_path / "kept", consistency_at_load=True
    )
    async with Service(settings) as service:
        await settled(lambda: set(phases(service).values()) == {Phase.ESTABLISHED})
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert [path.name for path in folder.iterdir()] == ["m0"]


async def test_what_is_kept_in_the_repository_is_no_model(tmp_path):
    settings = Settings(repository=repository(tmp_path, models=1), consistency_at_load=True)
    async with Service(settings) as service:
        await settled(lambda: set(phases(service).values()) == {Phase.ESTABLISHED})
    async with Service(settings) as service:
        await settled(lambda: service.plane.readiness().ready)
        assert [entry.name for entry in service.registry.entries()] == ["m0"]


async def test_a_service_that_is_establishing_stops_at_once(tmp_path):
    tiny.write_plain(tmp_path, "endless", tiny.slow(10_000_000))
    settings = Settings(repository=tmp_path, consistency_at_load=True)
    async with asyncio.timeout(15):
        async with Service(settings) as service:
            await settled(lambda: phases(service) == {"endless": Phase.ESTABLISHING})
