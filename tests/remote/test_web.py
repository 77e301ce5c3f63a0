"""Models from a web server that lists its folders."""

import os

import pytest

from service.errors import LoadFailed, RepositoryMissing
from tests.service import serving, tiny
from tests.service.serving import ask, index, settle


def service_of(url, tmp_path, **settings):
    return serving.service_of(url, repository_cache=tmp_path / "cache", **settings)


async def test_models_are_served_from_a_web_server(web, tmp_path):
    url, folder = web
    for version in (1, 2, 10):
        tiny.write_verified(folder / "models", "m", version=version, factor=float(version))
    tiny.write_plain(folder / "models", "with blanks & more", tiny.scale(3.0))
    async with service_of(f"{url}/models", tmp_path) as service:
        assert await ask(service) == (10.0, 10)
        assert await ask(service, "with blanks & more") == (3.0, 1)


async def test_it_is_followed(web, tmp_path):
    url, folder = web
    tiny.write_verified(folder, "m", version=1, factor=1.0)
    async with service_of(url, tmp_path, model_control="poll", poll_seconds=0.1) as service:
        tiny.write_verified(folder, "m", version=2, factor=2.0)
        await settle(lambda: index(service) == {("m", 2): ("READY", "")})
        assert await ask(service) == (2.0, 2)


async def test_what_was_changed_on_the_way_is_not_served(web, tmp_path):
    url, folder = web
    bundle = tiny.write_verified(folder, "m", factor=2.0)
    async with service_of(url, tmp_path) as service:
        bundle.model_path.write_bytes(tiny.scale(8.0).SerializeToString())
        os.utime(bundle.model_path, (0, 0))  # this server tells of changes in whole seconds
        with pytest.raises(LoadFailed, match="was changed"):
            await service.control.load("m")
        assert await ask(service) == (2.0, 1)


async def test_a_file_that_is_not_there_or_not_given_costs_its_version_and_no_other(web, tmp_path):
    url, folder = web
    tiny.write_verified(folder, "m", factor=2.0)
    (tiny.write_plain(folder, "dangling", tiny.scale(2.0)) / "away").symlink_to("nowhere")
    (tiny.write_plain(folder, "forbidden", tiny.scale(2.0)) / "refused").touch()
    async with service_of(url, tmp_path) as service:
        assert await ask(service) == (2.0, 1)
        states = index(service)
        assert states["dangling", 1][0] == states["forbidden", 1][0] == "UNAVAILABLE"
        assert "does not say how large 'away' is" in states["dangling", 1][1]
        assert "cannot be fetched" in states["forbidden", 1][1]
        (folder / "dangling" / "1" / "away").unlink()
        await service.control.load("dangling")
        assert await ask(service, "dangling") == (2.0, 1)


async def test_a_folder_that_is_not_there_stops_the_start(web, tmp_path):
    url, _ = web
    with pytest.raises(RepositoryMissing, match=r"cannot be read: .*Not ?Found"):
        async with service_of(f"{url}/nothing", tmp_path):
            pass
