"""Both transports encrypted, asked by the clients that people have."""

import datetime as dt
import signal
import ssl

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.errors import TlsInvalid
from service.server import serve
from service.settings import Settings
from service.tls import Tls
from tests.service import tiny
from tests.service.process import process


class Files:
    """A certificate authority, and what was written of it."""

    def __init__(self, folder):
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.server = self.issue(folder / "server", "127.0.0.1")
        self.client = self.issue(folder / "client", "client.example.org")

    def issue(self, path, name, **options):
        issued = self.authority.issue_cert(name, **options)
        certificate, key = path.with_suffix(".crt"), path.with_suffix(".key")
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Of an authority that nobody here trusts."""
    return Files(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    tiny.write_plain(folder, "double", tiny.scale(2.0))
    return folder


def settings_of(files, **more):
    certificate, key = files.server
    return {"tls_certificate_file": certificate, "tls_key_file": key} | more


def context_of(files, certificate=None):
    context = ssl.create_default_context(cafile=files.ca)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


@pytest.fixture(scope="module")
def encrypted(files, repository):
    with process(repository, verify=context_of(files), **settings_of(files)) as (server, url):
        yield server, url


@pytest.fixture(scope="module")
def mutual(files, repository):
    context = context_of(files, files.client)
    settings = settings_of(files, tls_client_ca_file=files.ca)
    with process(repository, verify=context, **settings) as (server, url):
        yield server, url


def ask(client, module):
    given = module.InferInput("x", [1, 2], "FP32")
    given.set_data_from_numpy(np.ones((1, 2), np.float32))
    return client.infer("double", [given]).as_numpy("y").tolist()


def triton_http(url, files, certificate=None):
    options = {"ca_certs": str(files.ca)}
    if certificate is not None:
        options |= {"certfile": str(certificate[0]), "keyfile": str(certificate[1])}
    address = url.removeprefix("https://")
    return tritonclient.http.InferenceServerClient(address, ssl=True, ssl_options=options)


def triton_grpc(address, files, certificate=None):
    chain, key = (None, None) if certificate is None else map(str, certificate)
    return tritonclient.grpc.InferenceServerClient(
        address, ssl=True, root_certificates=str(files.ca), certificate_chain=chain, private_key=key
    )


def health(address, files, certificate=None):
    """What a plain gRPC client is answered."""
    chain, key = (None, None) if certificate is None else (p.read_bytes() for p in certificate)
    credentials = grpc.ssl_channel_credentials(files.ca.read_bytes(), key, chain)
    with grpc.secure_channel(address, credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status


def test_the_log_says_where_and_that_it_is_encrypted(encrypted):
    server, url = encrypted
    assert url.startswith("https://127.0.0.1:")
    assert server.listening["metrics"].startswith("https://127.0.0.1:")


def test_clients_that_trust_the_certificate_are_answered(encrypted, files):
    server, url = encrypted
    address = server.listening["grpc"]
    assert httpx.get(f"{url}/v2", verify=context_of(files)).json()["name"] == "normserve"
    metrics = httpx.get(f"{server.listening['metrics']}/metrics", verify=context_of(files))
    assert metrics.status_code == 200
    with triton_http(url, files) as client:
        assert ask(client, tritonclient.http) == [[2, 2]]
    with triton_grpc(address, files) as client:
        assert ask(client, tritonclient.grpc) == [[2, 2]]
    assert health(address, files) == health_pb2.HealthCheckResponse.SERVING


def test_clients_that_do_not_trust_it_or_do_not_encrypt_are_not(encrypted, others):
    server, url = encrypted
    address = server.listening["grpc"]
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{url}/v2", verify=context_of(others))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url.replace('https', 'http')}/v2")
    with pytest.raises(grpc.RpcError) as refused:
        health(address, others)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [line for line in server.lines if line["event"] == "no JSON"] == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_current_versions_are_spoken(encrypted, files, version):
    context = context_of(files)
    context.minimum_version = context.maximum_version = version
    assert httpx.get(f"{encrypted[1]}/v2/health/live", verify=context).status_code == 200


def test_a_client_shows_its_certificate_where_it_is_wanted(mutual, files):
    server, url = mutual
    address = server.listening["grpc"]
    assert httpx.get(f"{url}/v2", verify=context_of(files, files.client)).status_code == 200
    with triton_http(url, files, files.client) as client:
        assert ask(client, tritonclient.http) == [[2, 2]]
    with triton_grpc(address, files, files.client) as client:
        assert ask(client, tritonclient.grpc) == [[2, 2]]
    assert health(address, files, files.client) == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("shown", ["none", "of another authority"])
def test_a_client_without_it_is_not_answered(mutual, files, others, shown):
    server, url = mutual
    certificate = None if shown == "none" else others.client
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/v2", verify=context_of(files, certificate))
    with pytest.raises(grpc.RpcError) as refused:
        health(server.listening["grpc"], files, certificate)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_probes_and_scrapers_need_no_certificate(mutual, files):
    metrics = mutual[0].listening["metrics"]
    for path in ("/metrics", "/v2/health/live", "/v2/health/ready"):
        assert httpx.get(f"{metrics}{path}", verify=context_of(files)).status_code == 200


def test_a_server_waits_for_no_connection_that_is_idle(files, repository):
    context = context_of(files)
    settings = settings_of(files, shutdown_grace_s=300)
    running = process(repository, verify=context, **settings)
    with running as (server, url), httpx.Client(verify=context) as client:
        assert client.get(f"{url}/v2").status_code == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


def test_files_that_cannot_be_are_told_before_anything_is_served(tmp_path, files, others):
    certificate, key = files.server
    (tmp_path / "text").write_text("no certificate")
    missing, text = tmp_path / "missing", tmp_path / "text"
    wrong = [
        ({"tls_certificate_file": certificate}, "tls_key_file"),
        ({"tls_key_file": key}, "tls_certificate_file"),
        ({"tls_client_ca_file": files.ca}, "tls_certificate_file"),
        (settings_of(files, tls_certificate_file=missing), "missing.*No such file"),
        (settings_of(files, tls_key_file=missing), "missing.*No such file"),
        (settings_of(files, tls_certificate_file=text), "text"),
        (settings_of(files, tls_key_file=text), "text"),
        (settings_of(files, tls_key_file=others.server[1]), "KEY_VALUES_MISMATCH|belong together"),
        (settings_of(files, tls_certificate_file=tmp_path), "directory"),
        (settings_of(files, tls_client_ca_file=missing), "missing.*No such file"),
        (settings_of(files, tls_client_ca_file=text), "text"),
    ]
    for settings, said in wrong:
        with pytest.raises(TlsInvalid, match=said):
            serve(Settings(repository=tmp_path, http_port=0, metrics_port=0, **settings))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path, files):
    from cryptography.hazmat.primitives import serialization

    certificate, key = files.server
    plain = serialization.load_pem_private_key(key.read_bytes(), password=None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(TlsInvalid, match="not encrypted"):
        Tls.of(Settings(tls_certificate_file=certificate, tls_key_file=encrypted))


def test_a_client_whose_certificate_is_over_is_not_answered(mutual, files, tmp_path):
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    expired = files.issue(tmp_path / "expired", "late.example.org", not_after=yesterday)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{mutual[1]}/v2", verify=context_of(files, expired))
