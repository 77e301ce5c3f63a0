"""Requests that are like others before them are read as if they came alone."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.tensors import TensorSpec
from service.codec import Outlines, decode_request
from service.codec.outline import cut_out
from service.errors import ServiceError
from service.signature import Signature


def spec(name, datatype, shape):
    return TensorSpec(name=name, datatype=datatype, shape=shape)


SIGNATURE = Signature(
    inputs=(spec("a", "FP32", ("n",)), spec("b", "INT64", ("n", 2))),
    outputs=(spec("y", "FP32", ("n",)), spec("z", "INT64", ("n",))),
)
DATA = [
    "[1, 2]",
    "[1,2]",
    "[ 1.5 ,\n-2e1 ]",
    "[]",
    "[3]",
    "[1, 2, 3, 4]",
    "[1e400, 1]",
    "[1e39, 1]",
    "[01, 2]",
    "[1,, 2]",
    "[+1, 2]",
    "[1 2]",
    "[-]",
    "[[1, 2]]",
    "[true, 1]",
    "[9223372036854775808, 1]",
    '"12"',
    "null",
    "{}",
    "[0]",
    "[false]",
    "\x0b[1, 2]",
    "[1,\x0c2]",
]
ASIDE = [
    "",
    ', "x": 1',
    ', "x\\"data": [1]',
    ', "x": "\\"data\\": [1]"',
    ', "x": {"data": [1, 2]}',
    ', "x": [{"data": [1, 2]}]',
    ', "data": [7, 8]',
    ', "parameters": {"data": [1]}',
    ', "parameters": {"p": 1}',
    ', "parameters": {"binary_data_size": 8}',
]
FIRST = [
    "",
    '"id": "7", ',
    '"id":"8",',
    ' "id" : "7", ',
    '"id": "7" , ',
    '"id": "7." , ',
    '"id": "\\u0037", ',
    '"id": "", ',
    '"id": 7, ',
    '"id": null, ',
    '"id": "7" ',
    '"id": "7", "id": "8", ',
    '\x0b"id": "7", ',
    '"id":\x0c"7", ',
    '"x": "\\"id\\": 7", "id": "7", ',
]
LAST = [
    "",
    ', "id": "7"',
    ', "id": 7',
    ', "id": "7."',
    ', "outputs": [{"name": "y", "data": [1, 2]}]',
    ', "data": [1]',
]


SHAPES = ["[2]", "[0]", "[1]"]
PARTS = {
    "of_a": DATA,
    "of_b": DATA,
    "beside_a": ASIDE,
    "beside_b": ASIDE,
    "shape": SHAPES,
    "first": FIRST,
    "last": LAST,
}


def written(
    *, of_a=DATA[0], of_b=DATA[0], beside_a="", beside_b="", shape="[2]", first="", last=""
):
    a = f'{{"name": "a", "datatype": "FP32", "shape": {shape}, "data": {of_a}{beside_a}}}'
    b = f'{{"data":{of_b}, "name": "b", "datatype": "INT64", "shape": [1, 2]{beside_b}}}'
    return f'{{{first}"inputs": [{a}, {b}]{last}}}'.encode()


texts = st.fixed_dictionaries({name: st.sampled_from(parts) for name, parts in PARTS.items()}).map(
    lambda parts: written(**parts)
)


def outcome(text, header_length=None, outlines=None):
    try:
        decoded = decode_request(text, SIGNATURE, header_length=header_length, outlines=outlines)
    except ServiceError as err:
        return type(err), str(err)
    request = decoded.request
    arrays = {name: (a.dtype, a.shape, a.tolist()) for name, a in request.inputs.items()}
    others = (request.id, request.parameters, request.outputs, request.classes)
    return arrays, others, decoded.binary_outputs


@pytest.mark.parametrize("one", PARTS)
@pytest.mark.parametrize("other", PARTS)
def test_what_differs_in_two_places_from_what_was_seen_is_read_as_if_alone(one, other):
    for last in PARTS[other]:
        outlines = Outlines()
        for first in PARTS[one]:
            for text in (written(), written(**{one: first, other: last})):
                assert outcome(text, outlines=outlines) == outcome(text)


@given(st.lists(texts, min_size=1, max_size=6))
def test_what_was_seen_changes_nothing(requests):
    outlines = Outlines()
    for text in requests * 2:
        assert outcome(text, outlines=outlines) == outcome(text)


@given(st.lists(st.tuples(st.sampled_from(["[1, 2]", "[3]", "[]"]), st.binary(max_size=20))))
def test_nor_does_it_for_binary_tensors(requests):
    outlines = Outlines()
    for data, tail in requests * 2:
        text = (
            f'{{"inputs": [{{"name": "a", "datatype": "FP32", "shape": [2], "data": {data}}},'
            ' {"name": "b", "datatype": "INT64", "shape": [1, 2],'
            ' "parameters": {"binary_data_size": 16}}]}'
        ).encode()
        length = len(text)
        known = outcome(text + tail, length, outlines)
        assert known == outcome(text + tail, length)


def request(*, id=None, pad="", **fields):  # noqa: A002 - as it is called in the protocol
    tensors = [
        {"name": "a", "datatype": "FP32", "shape": [2], "data": [1, 2]},
        {"name": "b", "datatype": "INT64", "shape": [1, 2], "data": [3, 4], "x": pad},
    ]
    begin = {} if id is None else {"id": id}
    return json.dumps({**begin, "inputs": tensors, **fields}).encode()


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        (request(), True),
        (request(parameters={"p": 1}), True),
        (request(id="7"), True),
        (request(id="x" * 200), False),
        (request(id="the seventh"), False),
        (request(pad="x" * 1024), False),
    ],
)
def test_short_ones_are_remembered(text, is_kept):
    outlines = Outlines()
    decode_request(text, SIGNATURE, outlines=outlines)
    known = outlines.get(cut_out(text)[0])
    assert (known is not None) == is_kept
    if is_kept:
        other = text.replace(b'"data": [1, 2]', b'"data": [5.5, 6]')
        inputs = decode_request(other, SIGNATURE, outlines=outlines).request.inputs
        np.testing.assert_array_equal(inputs["a"], [5.5, 6])
        np.testing.assert_array_equal(inputs["b"], [[3, 4]])


def test_ids_differ_and_the_rest_is_remembered():
    outlines = Outlines()
    texts = [request(id=name) for name in ("a-1", "b-2", "another", "another.")]
    assert len({cut_out(text)[0] for text in texts}) == 1
    decoded = [decode_request(text, SIGNATURE, outlines=outlines) for text in [*texts, request()]]
    assert [each.request.id for each in decoded] == ["a-1", "b-2", "another", "another.", None]


def test_an_id_that_is_given_twice_is_not_mistaken():
    outlines = Outlines()
    for text in (b'"id":"a","inputs":', b'"id":"b","inputs":', b'"id":"a","id":"b","inputs":') * 2:
        sent = request().replace(b'"inputs":', text)
        assert outcome(sent, outlines=outlines) == outcome(sent)


@pytest.mark.parametrize("literal", [b"[0]", b"[1]", b"[0.0]", b"[false]", b"[true]"])
@pytest.mark.parametrize("spelt", [b'"data" :', b'"d\\u0061ta":'])
def test_data_that_cannot_be_cut_out_is_not_mistaken_for_other_numbers(literal, spelt):
    outlines = Outlines()
    tensor = b'{"name":"a","datatype":"FP32","shape":[1],%b%b}' % (spelt, literal)
    other = b'{"name":"b","datatype":"INT64","shape":[1,2],"data":[3,4]}'
    for stray in (b"[1]", b"[2]", b"[2.5]"):
        text = b'{"inputs":[%b,%b],"data":%b}' % (tensor, other, stray)
        assert outcome(text, outlines=outlines) == outcome(text)
        text = b'{"inputs":[%b],"data":%b}' % (tensor, stray)
        assert outcome(text, outlines=outlines) == outcome(text)


def test_a_few_are_remembered_and_no_more():
    outlines = Outlines()
    sent = [request(parameters={"p": number}) for number in range(300)]
    for text in sent:
        decode_request(text, SIGNATURE, outlines=outlines)
    kept = [text for text in sent if outlines.get(cut_out(text)[0]) is not None]
    assert 0 < len(kept) <= 64
    assert sent[-1] in kept
