import subprocess
import sys

import pytest
from click.testing import CliRunner

from normserve.cli import main

WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name="torch")

sys.meta_path.insert(0, Absent())
from normserve.cli import main
main()
"""


def call(*arguments):
    return CliRunner().invoke(main, list(arguments))


def without_torch(*arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments], capture_output=True, text=True
    )


COMMANDS = (
    *("axes", "bench", "demo", "diagnose", "export", "infer", "load", "models", "serve", "status"),
    *("train", "unload", "validate"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_listed_and_helps(command):
    assert command in call("--help").output
    helped = call(command, "--help")
    assert helped.exit_code == 0
    assert "Usage:" in helped.output


def test_an_unknown_command_is_refused():
    result = call("explode")
    assert result.exit_code == 2
    assert "No such command 'explode'" in result.output


def test_the_list_of_commands_serve_and_tune_need_no_torch():
    assert without_torch("--help").returncode == 0
    assert without_torch("serve", "--help").returncode == 0
    assert without_torch("tune", "--help").returncode == 0


def test_a_command_whose_extra_is_missing_says_which():
    result = without_torch("export", "resnet")
    assert result.returncode == 1
    assert "install normserve[export]" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_repository_that_is_not_there_stops_the_service_with_status_2(tmp_path):
    result = call("serve", "--repository", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "none" in result.output


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--http-port", "70000", "http_port"),
        ("--version-policy", "0", "version_policy"),
        ("--version-policy", "newest", "version_policy"),
        ("--poll-seconds", "0", "poll_seconds"),
        ("--model-control", "all", "--model-control"),
        ("--repository", "ftp://host/models", "s3://"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_service_with_status_2(option, value, said):
    result = call("serve", option, value)
    assert result.exit_code == 2
    assert said in result.output


def test_a_url_with_credentials_is_refused_without_telling_them():
    result = call("serve", "--repository", "https://me:secret@host/models")
    assert result.exit_code == 2
    assert "no credentials" in result.output
    assert "secret" not in result.output


def test_a_store_whose_library_is_not_installed_stops_the_service_with_the_extra():
    result = call("serve", "--repository", "gs://bucket/models")
    assert result.exit_code == 2
    assert "normserve[gcs]" in result.output


def test_a_name_that_is_no_network_is_refused_with_those_that_are(tmp_path):
    result = call("export", "resnot", "--repository", str(tmp_path))
    assert result.exit_code == 2
    assert "resnet" in result.output
    assert "resnot" in call("train", "resnot").output


def test_nothing_named_is_refused_with_what_can_be_named():
    assert "resnet" in call("export").output
    assert "resnet" in call("train").output
