import pytest
from pydantic import SecretStr

from service.errors import SettingsInvalid
from service.keys import KeySet, read_keys
from service.settings import Settings, load_settings

KEY = "a-key-of-the-tests"
OTHER = "another-key/of+the~tests="
NO_KEYS = ("", " ", ",", "short", f"{KEY} short", "k\xe9y-of-the-tests", "k" * 513)


def keys_of(value=None, file=None):
    given = None if value is None else SecretStr(value)
    return read_keys(given, file, setting="inference_keys")


@pytest.mark.parametrize("text", [f"{KEY},{OTHER}", f"{KEY} {OTHER}", f"\n{KEY} ,\t{OTHER}\n"])
def test_keys_are_separated_by_commas_or_blanks(text, tmp_path):
    (tmp_path / "keys").write_text(text)
    for keys in (keys_of(text), keys_of(file=tmp_path / "keys")):
        assert KEY in keys
        assert OTHER in keys
        assert KEY[:-1] not in keys
        assert f"{KEY},{OTHER}" not in keys


def test_there_are_none_where_none_is_set():
    assert not keys_of()
    assert "" not in keys_of()


def test_what_a_client_sends_may_be_anything():
    assert "ÿ\ud800\0" not in KeySet([KEY])


@pytest.mark.parametrize("text", NO_KEYS)
def test_what_is_no_key_is_refused_and_not_repeated(text, tmp_path):
    (tmp_path / "keys").write_text(text)
    for source in ({"value": text}, {"file": tmp_path / "keys"}):
        with pytest.raises(SettingsInvalid, match="inference_keys") as refused:
            keys_of(**source)
        assert "short" not in str(refused.value)
        assert KEY not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsInvalid, match=r"inference_keys_file: .*nowhere.*No such file"):
        keys_of(file=tmp_path / "nowhere")
    with pytest.raises(SettingsInvalid, match=r"inference_keys_file: .*a directory"):
        keys_of(file=tmp_path)


def test_a_value_and_a_file_are_one_too_many(tmp_path):
    with pytest.raises(SettingsInvalid, match="both set"):
        keys_of(KEY, tmp_path)


def test_no_text_of_the_settings_has_a_key_in_it(monkeypatch):
    monkeypatch.setenv("NORMSERVE_ADMIN_KEY", KEY)
    settings = load_settings(inference_keys=OTHER)
    for text in (
        repr(settings),
        str(settings),
        str(settings.model_dump()),
        settings.model_dump_json(),
    ):
        assert KEY not in text
        assert OTHER not in text
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(http_port=-1)
    assert KEY not in str(refused.value)
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(admin_key=12345678)
    assert "12345678" not in str(refused.value)
    with pytest.raises(ValueError, match="http_port") as invalid:
        Settings(http_port=-1)
    assert KEY not in str(invalid.value)
