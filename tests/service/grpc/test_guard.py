"""Every method of the live services behind the guard."""

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tritonclient.utils import InferenceServerException

from service.grpc.schema import SERVICE, message
from service.permissions import Need, need_of_method
from service.settings import Settings
from tests.service import tiny

ADMIN = "the-admin-key"
INFERENCE = "a-client-key"
EVERYWHERE = "0.0.0.0"  # noqa: S104  # for the time of a test


def methods(*needs):
    services = [
        SERVICE,
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    ]
    paths = [f"/{service.full_name}/{m.name}" for service in services for m in service.methods]
    return [path for path in paths if need_of_method(path) in needs]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    tiny.write_plain(folder, "double", tiny.scale(2.0))
    return folder


def channel_of(live_grpc, settings):
    with live_grpc(settings) as address, grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="module")
def keyed(live_grpc, repository):
    settings = Settings(repository=repository, admin_key=ADMIN, inference_keys=INFERENCE)
    yield from channel_of(live_grpc, settings)


@pytest.fixture(scope="module")
def open_here(live_grpc, repository):
    yield from channel_of(live_grpc, Settings(repository=repository))


@pytest.fixture(scope="module")
def public(live_grpc, repository):
    yield from channel_of(live_grpc, Settings(repository=repository, host=EVERYWHERE))


def bearer(key):
    return (("authorization", f"Bearer {key}"),)


def ask(channel, path, metadata=(), body=b""):
    """The status of a call, empty if nothing else is said, and its words; one reply ends it."""
    call = channel.stream_stream(path)(iter([body]), metadata=metadata, timeout=10)
    try:
        next(call, None)
    except grpc.RpcError as err:
        return err.code(), err.details()
    call.cancel()
    return grpc.StatusCode.OK, ""


REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def is_refused(answer):
    """Whether it was the guard: others deny too, where a setting has something off."""
    return answer[0] in REFUSALS and "key" in answer[1].lower().split()


@pytest.mark.parametrize("path", methods(Need.ADMIN))
def test_an_operation_wants_the_admin_key(keyed, path):
    for metadata in ((), bearer("a-wrong-key"), (("authorization", ADMIN),), bearer(ADMIN) * 2):
        assert ask(keyed, path, metadata)[0] is grpc.StatusCode.UNAUTHENTICATED
    status, said = ask(keyed, path, bearer(INFERENCE))
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert "needs the admin key" in said
    assert not is_refused(ask(keyed, path, bearer(ADMIN)))


@pytest.mark.parametrize("path", methods(Need.READ, Need.INFER))
def test_inference_and_what_is_told_of_models_want_a_key(keyed, path):
    for metadata in ((), bearer("a-wrong-key")):
        assert ask(keyed, path, metadata)[0] is grpc.StatusCode.UNAUTHENTICATED
    for key in (INFERENCE, ADMIN):
        assert not is_refused(ask(keyed, path, bearer(key)))


@pytest.mark.parametrize("path", methods(Need.OPEN))
def test_probes_and_reflection_want_no_key(keyed, path):
    assert not is_refused(ask(keyed, path))


@pytest.mark.parametrize("path", methods(Need.ADMIN))
def test_without_a_key_operations_are_off_beyond_loopback(open_here, public, path):
    status, said = ask(public, path)
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert "NORMSERVE_ADMIN_KEY" in said
    assert not is_refused(ask(open_here, path))
    for name in ("origin", "via", "x-forwarded-for", "x-real-ip"):
        status, said = ask(open_here, path, ((name, "http://example.org"),))
        assert status is grpc.StatusCode.PERMISSION_DENIED
        assert "no admin key is set" in said


@pytest.mark.parametrize("name", ["TraceSetting", "LogSettings"])
def test_settings_are_changed_with_the_admin_key_only(keyed, open_here, public, name):
    path = f"/{SERVICE.full_name}/{name}"
    changing = message(f"{name}Request")()
    _ = changing.settings["log_verbose_level"]
    body = changing.SerializeToString()
    assert ask(keyed, path, bearer(INFERENCE))[0] not in REFUSALS
    assert ask(keyed, path, bearer(INFERENCE), body)[0] is grpc.StatusCode.PERMISSION_DENIED
    assert ask(keyed, path, bearer(ADMIN), body)[0] not in REFUSALS
    assert ask(public, path)[0] not in REFUSALS
    assert ask(public, path, (), body)[0] is grpc.StatusCode.PERMISSION_DENIED
    assert ask(open_here, path, (), body)[0] not in REFUSALS


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Modelinfer", "/a/b", "/"])
def test_what_is_in_no_row_is_not_there(keyed, path):
    assert ask(keyed, path, bearer(ADMIN))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_client_shows_its_key_with_every_call(live_grpc, repository):
    settings = Settings(repository=repository, admin_key=ADMIN, inference_keys=INFERENCE)
    with live_grpc(settings) as address, triton.InferenceServerClient(address) as client:
        given = triton.InferInput("x", [1, 2], "FP32")
        given.set_data_from_numpy(np.ones((1, 2), np.float32))
        headers = {"authorization": f"Bearer {INFERENCE}"}
        assert client.infer("double", [given], headers=headers).as_numpy("y").tolist() == [[2, 2]]
        assert client.is_server_ready()
        with pytest.raises(InferenceServerException, match="needs a key"):
            client.infer("double", [given])
        with pytest.raises(InferenceServerException, match="needs the admin key"):
            client.unload_model("double", headers=headers)
        client.load_model("double", headers={"authorization": f"Bearer {ADMIN}"})


def test_a_stream_is_refused_before_its_first_request(keyed):
    call = keyed.stream_stream(f"/{SERVICE.full_name}/ModelStreamInfer")(iter([]), timeout=10)
    with pytest.raises(grpc.RpcError, match="needs a key"):
        next(call)
