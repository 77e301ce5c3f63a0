import pytest

from service.codec.text import parse_object
from service.errors import JsonInvalid


def test_an_object_is_parsed():
    assert parse_object(b' {"a": [1, 2.5, "x", true, null]} ') == {"a": [1, 2.5, "x", True, None]}


def test_a_memoryview_is_parsed_too():
    assert parse_object(memoryview(b'{"a":1}tail')[:7]) == {"a": 1}


def test_64_bit_integers_stay_integers():
    assert parse_object(b'{"a":18446744073709551615,"b":-9223372036854775808}') == {
        "a": 2**64 - 1,
        "b": -(2**63),
    }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{} {}",
        b"[1]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"a": 1e999}',
        b'{"a": 01}',
        b'{"a": "\\ud800"}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": [1, /* two */ 2]}',
    ],
)
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(JsonInvalid):
        parse_object(text)


@pytest.mark.parametrize("token", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_token_that_json_does_not_have_is_refused_with_the_way_out(token):
    with pytest.raises(JsonInvalid, match="binary tensor data"):
        parse_object(b'{"a": [' + token + b"]}")


def test_deep_nesting_is_refused_without_recursion():
    with pytest.raises(JsonInvalid, match="depth"):
        parse_object(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": [{"b": 1, "b": 2}]}',
        b'{"a": [1, {"b": 1, "b": 2}]}',
        b'{"a": "one:two", "b": 1, "b" : 2}',
        b'{"a\\"": ":", "a\\"": ":"}',
    ],
)
def test_a_name_twice_in_one_object_is_refused(text):
    with pytest.raises(JsonInvalid, match="twice"):
        parse_object(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": "b:c"}',
        b'{"a:b": "\\":\\"", "c": ["d:", "::"]}',
        b'{"a": [1, {"b": 1}, [2, {"b": 3}]], "b": ":"}',
        b'{"a": {"b": {"a": ":"}}, "b": [[{"a": 1}], [{"a": 2}]]}',
        '{"é:": "\\\\", "x": "\\u003a"}'.encode(),
    ],
)
def test_colons_in_strings_and_objects_among_numbers_are_no_repeated_names(text):
    parse_object(text)
