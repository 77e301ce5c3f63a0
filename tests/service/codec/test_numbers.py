import json

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bundle import Datatype
from service.codec.json_tensors import array_from_json
from service.codec.numbers import Numbers, Unusual, parse_numbers
from service.codec.text import parse_object
from service.errors import RequestInvalid

NUMERIC = [d for d in Datatype if d.numpy.kind in "fiu" and d is not Datatype.FP16]


def request(data, **fields):
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": data}], **fields}


def read(text, datatype, shape):
    (tensor,) = parse_numbers(text)["inputs"]
    return array_from_json(tensor["data"], name="x", datatype=datatype, shape=shape)


def read_as_usual(text, datatype, shape):
    (tensor,) = parse_object(text)["inputs"]
    return array_from_json(tensor["data"], name="x", datatype=datatype, shape=shape)


@pytest.mark.parametrize("datatype", NUMERIC)
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "nested"])
def test_every_numeric_type_flat_and_nested(datatype, shape, flat):
    array = np.arange(np.prod(shape)).astype(datatype.numpy).reshape(shape)
    data = array.ravel() if flat else array
    if not array.size and not flat and len(shape) > 1:
        data = array.ravel()  # an empty array has no nesting to be seen
    got = read(json.dumps(request(data.tolist())).encode(), datatype, shape)
    assert got.dtype == datatype.numpy
    assert got.shape == shape
    assert (got == array).all()


def test_64_bits_are_kept():
    values = [2**63 - 1, -(2**63), 2**53 + 1]
    text = orjson.dumps(request(values))
    assert read(text, Datatype.INT64, (3,)).tolist() == values
    text = orjson.dumps(request([2**64 - 1]))
    assert read(text, Datatype.UINT64, (1,)).tolist() == [2**64 - 1]


def test_everything_but_the_numbers_is_as_usual():
    fields = request(
        [1.5],
        id='ä"\\\n',
        parameters={"a": None, "b": True, "c": 2**63, "d": [1, {"e": "f"}]},
        outputs=[{"name": "y", "parameters": {"binary_data": True}}],
    )
    text = orjson.dumps(fields)
    got, wanted = parse_numbers(text), parse_object(text)
    assert isinstance(got["inputs"][0].pop("data"), Numbers)
    wanted["inputs"][0].pop("data")
    assert got == wanted


UNUSUAL = {
    "no object": b"[1]",
    "no JSON": b'{"inputs": [',
    "a byte order mark": b'\xef\xbb\xbf{"inputs": [{"data": [1]}]}',
    "not UTF-8": b'{"id": "\xff"}',
    "inputs are no array": b'{"inputs": {}}',
    "an input is no object": b'{"inputs": [1]}',
    "data are no array": b'{"inputs": [{"data": 1}]}',
    "a name twice": b'{"id": "a", "id": "b"}',
    "a name twice in an input": b'{"inputs": [{"name": "a", "name": "b", "data": [1]}]}',
    "a name twice in a parameter": b'{"parameters": {"a": 1, "a": 2}}',
    "a number beyond a double": b'{"inputs": [{"data": [1e400]}]}',
    "ragged": b'{"inputs": [{"data": [[1, 2], [3]]}]}',
    "an array among numbers": b'{"inputs": [{"data": [1, [2]]}]}',
    "a number among arrays": b'{"inputs": [{"data": [[1], 2]}]}',
    "an array within the innermost": b'{"inputs": [{"data": [[1, 2], [3, [4]]]}]}',
    "a bracket in a string": b'{"id": "[", "inputs": [{"data": [1]}]}',
    "a hundred thousand names": orjson.dumps({str(n): n for n in range(100_000)}),
    "nested too deeply": b"[" * 100_000,
    "NaN": b'{"inputs": [{"data": [NaN]}]}',
}


@pytest.mark.parametrize("text", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_not_plainly_right_goes_the_usual_way(text):
    with pytest.raises(Unusual):
        parse_numbers(text)


@pytest.mark.parametrize(
    ("data", "datatype", "shape"),
    [
        ([1, 2], Datatype.FP32, (3,)),
        ([[1, 2]], Datatype.FP32, (2, 1)),
        ([[1], [2]], Datatype.FP32, (2,)),
        ([1, "a"], Datatype.FP32, (2,)),
        ([1, None], Datatype.FP32, (2,)),
        ([1, True], Datatype.FP32, (2,)),
        ([1.5], Datatype.INT32, (1,)),
        ([300], Datatype.INT8, (1,)),
        ([-1], Datatype.UINT8, (1,)),
        ([2**63], Datatype.INT64, (1,)),
        ([True], Datatype.BOOL, (1,)),
        (["a"], Datatype.BYTES, (1,)),
    ],
)
def test_so_does_what_the_datatype_or_the_shape_does_not_want(data, datatype, shape):
    with pytest.raises(Unusual):
        read(json.dumps(request(data)).encode(), datatype, shape)


numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
texts = st.one_of(
    numbers.map(json.dumps),
    st.sampled_from(["-0", "-0.0", "1E5", "1e-400", "true", "null", '"a"', "[1]", "1.", "01"]),
)


@given(
    elements=st.lists(texts, max_size=6),
    datatype=st.sampled_from(NUMERIC),
    columns=st.integers(1, 3),
    nested=st.booleans(),
)
@example(elements=["-0"], datatype=Datatype.FP64, columns=1, nested=False)
@example(elements=["18446744073709551615"], datatype=Datatype.FP64, columns=1, nested=False)
@example(elements=["9007199254740993"], datatype=Datatype.FP64, columns=1, nested=False)
def test_the_short_cut_gives_exactly_what_the_usual_way_gives_or_nothing(
    elements, datatype, columns, nested
):
    data = ",".join(elements)
    if nested:
        rows = [elements[i : i + columns] for i in range(0, len(elements), columns)]
        data = ",".join(f"[{','.join(row)}]" for row in rows)
    text = f'{{"inputs": [{{"name": "x", "data": [{data}]}}]}}'.encode()
    shape = (len(elements) // columns, columns) if nested else (len(elements),)
    try:
        got = read(text, datatype, shape)
    except Unusual:
        return
    except RequestInvalid:
        with pytest.raises(RequestInvalid):
            read_as_usual(text, datatype, shape)
        return
    wanted = read_as_usual(text, datatype, shape)
    assert got.dtype == wanted.dtype
    assert got.tobytes() == wanted.tobytes()
