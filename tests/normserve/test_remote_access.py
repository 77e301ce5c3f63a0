"""The client commands against a service that wants a key and is encrypted."""

import json
import ssl

import pytest
import trustme
from click.testing import CliRunner

from normserve.cli import main
from normserve.remote import Access
from tests.service import tiny
from tests.service.process import process

ADMIN = "the-admin-key"
INFERENCE = "a-client-key"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("127.0.0.1", "client.example.org"):
        issued = authority.issue_cert(name)
        issued.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory, certificates):
    repository = tmp_path_factory.mktemp("repository")
    tiny.write_plain(repository, "double", tiny.scale(2.0))
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "client.example.org.pem")
    settings = {
        "admin_key": ADMIN,
        "inference_keys": INFERENCE,
        "tls_certificate_file": certificates / "127.0.0.1.pem",
        "tls_key_file": certificates / "127.0.0.1.pem",
        "tls_client_ca_file": certificates / "ca.pem",
    }
    with process(repository, verify=context, **settings) as (_, address):
        yield address


@pytest.fixture
def call(url, certificates, monkeypatch):
    monkeypatch.setenv("NORMSERVE_URL", url)
    monkeypatch.setenv("NORMSERVE_CA", str(certificates / "ca.pem"))
    monkeypatch.setenv("NORMSERVE_CERTIFICATE", str(certificates / "client.example.org.pem"))
    return lambda *arguments: CliRunner().invoke(main, list(map(str, arguments)))


def test_every_command_shows_its_key(call, monkeypatch):
    asked = call("infer", "double", "--input", "[1, 2]", "--json", "--key", INFERENCE)
    assert json.loads(asked.output) == {"y": [[2, 4]]}
    monkeypatch.setenv("NORMSERVE_KEY", ADMIN)
    assert call("load", "double").output == "double: loaded\n"
    assert "double" in call("models").output
    assert call("status").exit_code == 0
    assert call("unload", "double").output == "double: unloaded\n"
    assert call("load", "double").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["models"], "needs a key"),
        (["models", "--key", "a-wrong-key"], "none that this server knows"),
        (["load", "double", "--key", INFERENCE], "needs the admin key"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_said_and_not_repeated(call, arguments, said):
    result = call(*arguments)
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
    assert "a-wrong-key" not in result.output


def test_a_certificate_that_is_not_trusted_is_said(call, certificates, monkeypatch):
    monkeypatch.delenv("NORMSERVE_CA")
    result = call("status")
    assert result.exit_code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in result.output


def test_a_client_without_its_certificate_is_not_answered(call, monkeypatch):
    monkeypatch.delenv("NORMSERVE_CERTIFICATE")
    result = call("status")
    assert result.exit_code == 1
    assert "no service answers" in result.output


def test_a_file_that_is_no_certificate_is_a_usage_error(call, tmp_path):
    (tmp_path / "text").write_text("no certificate")
    for option in ("--ca", "--certificate"):
        result = call("status", option, tmp_path / "text")
        assert result.exit_code == 2
        assert "a certificate cannot be used" in result.output
        assert call("status", option, tmp_path / "missing").exit_code == 2


def test_a_key_is_in_no_text_about_a_client():
    assert ADMIN not in repr(Access(key=ADMIN))
