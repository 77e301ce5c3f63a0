"""Models from a bucket: copied, verified, replaced, and served when the bucket cannot be read."""

import shutil

import pytest

from service.errors import LoadFailed, ModelUnknown, RepositoryMissing
from service.repository import check_repository
from tests.service import serving, tiny
from tests.service.serving import ask, index, settle

NOWHERE = "http://127.0.0.1:9"  # a port that nobody listens on


def service_of(bucket, tmp_path, **settings):
    return serving.service_of(bucket.url, repository_cache=tmp_path / "cache", **settings)


def copied(tmp_path):
    """The files of the copy, by their paths below it."""
    (mirror,) = (tmp_path / "cache").iterdir()
    return {
        path.relative_to(mirror).as_posix(): path
        for path in mirror.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


async def test_models_are_served_from_a_bucket_and_only_what_is_wanted_is_copied(bucket, tmp_path):
    for version in (1, 2, 10):
        tiny.write_verified(tmp_path / "made", "m", version=version, factor=float(version))
    tiny.write_plain(tmp_path / "made", "plain", tiny.scale(3.0))
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path) as service:
        assert await ask(service) == (10.0, 10)
        assert await ask(service, "plain") == (3.0, 1)
        assert service.plane.model("m").properties["verified"] == "true"
        versions = {path.split("/")[1] for path in copied(tmp_path) if path.startswith("m/")}
        assert versions == {"config.pbtxt", "10"}


async def test_the_policy_of_the_configuration_in_the_bucket_is_followed(bucket, tmp_path):
    for version in (1, 2, 3):
        tiny.write_verified(tmp_path / "made", "m", version=version, factor=float(version))
    tiny.write_config(tmp_path / "made", "m", "version_policy { specific { versions: [ 1, 3 ] } }")
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path) as service:
        assert index(service).keys() == {("m", 1), ("m", 3)}
        bucket.write("m/config.pbtxt", b"version_policy { latest { num_versions: 2 } }")
        await service.control.load("m")
        assert index(service).keys() == {("m", 2), ("m", 3)}
        assert not any(path.startswith("m/1/") for path in copied(tmp_path))


async def test_a_load_copies_what_has_changed_and_nothing_else(bucket, tmp_path):
    tiny.write_verified(tmp_path / "made", "m", factor=2.0)
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path) as service:
        before = {path: file.stat().st_ino for path, file in copied(tmp_path).items()}
        shutil.rmtree(tmp_path / "made")
        tiny.write_verified(tmp_path / "made", "m", factor=5.0)
        bucket.put(tmp_path / "made")
        await service.control.load("m")
        assert await ask(service) == (5.0, 1)
        after = {path: file.stat().st_ino for path, file in copied(tmp_path).items()}
        kept = {path for path in before if before[path] == after[path]}
        assert kept == {"m/config.pbtxt", "m/1/test_data_set_0/input_0.pb"}
        await service.control.load("m")
        again = {path: file.stat().st_ino for path, file in copied(tmp_path).items()}
        assert again == after


async def test_what_is_not_what_its_manifest_says_is_not_served_and_the_old_one_stays(
    bucket, tmp_path
):
    tiny.write_verified(tmp_path / "made", "m", factor=2.0)
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path) as service:
        good = copied(tmp_path)["m/1/model.onnx"].read_bytes()
        bucket.write("m/1/model.onnx", tiny.scale(7.0).SerializeToString())
        with pytest.raises(LoadFailed, match=r"'m/1/model\.onnx' was changed") as failed:
            await service.control.load("m")
        assert str(tmp_path) not in str(failed.value)
        assert await ask(service) == (2.0, 1)
        state, reason = index(service)["m", 1]
        assert state == "READY"
        assert "a replacement failed" in reason
        assert copied(tmp_path)["m/1/model.onnx"].read_bytes() == good


@pytest.mark.parametrize(
    "key", ["m/1/../../evil.txt", "m/1/sub/../../../evil.txt", "m/1/a\\b", "m/1//double", "m/1/\a"]
)
async def test_a_file_whose_name_leads_elsewhere_makes_its_version_unavailable(
    bucket, tmp_path, key
):
    tiny.write_verified(tmp_path / "made", "m", version=1)
    tiny.write_verified(tmp_path / "made", "good")
    bucket.put(tmp_path / "made")
    bucket.write(key, b"evil")
    async with service_of(bucket, tmp_path) as service:
        state, reason = index(service)["m", 1]
        assert state == "UNAVAILABLE"
        assert "cannot be called so" in reason
        assert (await ask(service, "good"))[1] == 1
        assert not [path for path in tmp_path.rglob("*evil*") if "bucket" not in path.parts]


@pytest.mark.parametrize("key", ["../evil/1/model.onnx", "/etc/1/model.onnx", "a\\b/1/model.onnx"])
async def test_a_model_whose_name_leads_elsewhere_is_left_out(bucket, tmp_path, key):
    tiny.write_verified(tmp_path / "made", "m")
    bucket.put(tmp_path / "made")
    bucket.write(key, b"evil")
    async with service_of(bucket, tmp_path) as service:
        assert index(service).keys() == {("m", 1)}


async def test_a_version_that_is_too_large_is_not_fetched(bucket, tmp_path):
    tiny.write_verified(tmp_path / "made", "m", factor=2.0)
    tiny.write_plain(tmp_path / "made", "huge", bytes(1_000_000))
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path, repository_max_bytes=500_000) as service:
        assert await ask(service) == (2.0, 1)
        state, reason = index(service)["huge", 1]
        assert state == "UNAVAILABLE"
        assert "1000000 bytes" in reason
        assert "NORMSERVE_REPOSITORY_MAX_BYTES" in reason
        assert "huge/1/model.onnx" not in copied(tmp_path)


async def test_the_copy_is_served_while_the_bucket_cannot_be_read_and_says_so(
    bucket, tmp_path, monkeypatch
):
    tiny.write_verified(tmp_path / "made", "m", factor=2.0)
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path) as service:
        assert await ask(service) == (2.0, 1)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", NOWHERE)
        async with service_of(bucket, tmp_path) as service:
            assert await ask(service) == (2.0, 1)
            state, reason = index(service)["m", 1]
            assert state == "READY"
            assert "from the copy on this machine" in reason
    async with service_of(bucket, tmp_path) as service:
        assert index(service)["m", 1] == ("READY", "")


async def test_a_copy_that_was_changed_since_is_not_served(bucket, tmp_path, monkeypatch):
    tiny.write_verified(tmp_path / "made", "m", factor=2.0)
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path):
        pass
    copied(tmp_path)["m/1/model.onnx"].write_bytes(tiny.scale(9.0).SerializeToString())
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    async with service_of(bucket, tmp_path) as service:
        state, reason = index(service)["m", 1]
        assert state == "UNAVAILABLE"
        assert "was changed" in reason


async def test_without_a_copy_a_bucket_that_cannot_be_read_stops_the_start(
    bucket, tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOWHERE)
    with pytest.raises(RepositoryMissing, match=r"cannot be read: .*onnect"):
        async with service_of(bucket, tmp_path):
            pass


async def test_a_bucket_that_is_not_there_stops_the_start(s3, tmp_path):
    with pytest.raises(RepositoryMissing, match="bucket"):
        async with serving.service_of("s3://nobody/models", repository_cache=tmp_path / "cache"):
            pass


def test_a_store_whose_package_is_not_installed_names_the_extra():
    with pytest.raises(RepositoryMissing, match=r"needs the package gcsfs.*normserve\[gcs\]"):
        check_repository("gs://bucket/models")


async def test_two_servers_do_not_share_a_copy(bucket, tmp_path):
    tiny.write_verified(tmp_path / "made", "m", factor=2.0)
    bucket.put(tmp_path / "made")
    async with service_of(bucket, tmp_path):
        with pytest.raises(RepositoryMissing, match="another server"):
            async with service_of(bucket, tmp_path):
                pass
    async with service_of(bucket, tmp_path) as service:
        assert await ask(service) == (2.0, 1)


async def test_a_bucket_is_followed(bucket, tmp_path):
    tiny.write_verified(tmp_path / "made", "m", version=1, factor=1.0)
    tiny.write_verified(tmp_path / "made", "gone", factor=4.0)
    bucket.put(tmp_path / "made")
    poll = {"model_control": "poll", "poll_seconds": 0.1}
    async with service_of(bucket, tmp_path, **poll) as service:
        assert await ask(service) == (1.0, 1)
        tiny.write_verified(tmp_path / "made", "m", version=2, factor=2.0)
        tiny.write_verified(tmp_path / "made", "new", factor=3.0)
        bucket.put(tmp_path / "made")
        bucket.remove("gone/")
        wanted = {("m", 2): ("READY", ""), ("new", 1): ("READY", "")}
        await settle(lambda: index(service) == wanted)
        assert await ask(service) == (2.0, 2)
        with pytest.raises(ModelUnknown):
            await ask(service, "gone")
        await settle(lambda: {path.split("/")[0] for path in copied(tmp_path)} == {"m", "new"})
