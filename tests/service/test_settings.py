import ast
import inspect
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.errors import SettingsInvalid
from service.settings import Settings, load_settings

DOCS = Path(__file__).parents[2] / "docs"


def test_a_setting_comes_from_the_environment_and_an_argument_wins(monkeypatch):
    monkeypatch.setenv("NORMSERVE_HTTP_PORT", "1234")
    monkeypatch.setenv("normserve_threads", "3")
    assert load_settings().http_port == 1234
    assert load_settings(http_port=None).http_port == 1234
    assert load_settings(http_port=5678).http_port == 5678
    assert load_settings().threads == 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [("NORMSERVE_HTTP_PROT", "did you mean NORMSERVE_HTTP_PORT"), ("NORMSERVE_Q", "there are")],
)
@pytest.mark.parametrize("make", [Settings, load_settings])
def test_a_name_that_is_no_setting_is_refused(monkeypatch, name, hint, make):
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsInvalid, match=hint):
        make()


@pytest.mark.parametrize(
    "given",
    [
        {"http_port": 65536},
        {"http_port": "web"},
        {"provider": "tpu"},
        {"threads": -1},
        {"concurrent_runs": 0},
        {"max_request_bytes": 0},
        {"compression_level": 10},
        {"canary_fraction": 1.5},
        {"canary_fraction": "nan"},
        {"canary_max_waiting": 0},
        {"consistency_timeout_s": 0},
        {"log_format": "xml"},
        {"no_such_setting": 1},
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_name(given):
    with pytest.raises(SettingsInvalid, match=next(iter(given))):
        load_settings(**given)


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().http_port = 1


def test_a_stray_dotenv_file_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("NORMSERVE_HTTP_PORT=1\n")
    monkeypatch.chdir(tmp_path)
    assert Settings().http_port == 8000


(DEFINITION,) = ast.parse(inspect.getsource(Settings)).body
DESCRIBED = {
    field.target.id
    for field, below in pairwise(DEFINITION.body)
    if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr)
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_here_and_in_the_docs(name):
    assert name in DESCRIBED
    assert f"`NORMSERVE_{name.upper()}`" in (DOCS / "settings.md").read_text()


def test_the_docs_describe_no_setting_that_is_not_there():
    rows = [
        line for line in (DOCS / "settings.md").read_text().splitlines() if "| `NORMSERVE_" in line
    ]
    assert len(rows) == len(Settings.model_fields)
