import collections

import pytest

from exporters import FactoryInvalid, resolve_factory


def test_a_reference_leads_to_what_it_names():
    assert resolve_factory("collections:OrderedDict") is collections.OrderedDict
    assert resolve_factory("collections:OrderedDict.fromkeys") == collections.OrderedDict.fromkeys


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("collections", "write package.module:factory"),
        ("collections:", "write package.module:factory"),
        ("a b:c", "write package.module:factory"),
        ("no_such_package.models:make", "'no_such_package.models' cannot be imported: ModuleNot"),
        ("collections:nothing", "there is no 'nothing' in collections"),
        ("string:digits", "is a str; it must be a function or class"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(reference, said):
    with pytest.raises(FactoryInvalid, match=said):
        resolve_factory(reference)


def test_a_module_that_fails_while_it_is_imported_is_refused_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "fails_at_import.py").write_text("raise ValueError('out of cheese')")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(FactoryInvalid, match="ValueError: out of cheese"):
        resolve_factory("fails_at_import:make")
