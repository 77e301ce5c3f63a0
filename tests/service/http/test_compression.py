import gzip
import json
import zlib

import numpy as np
import pytest

from service.errors import BodyCorrupt, BodyTooLarge, EncodingUnsupported
from service.http.compression import compress, content_coding, decompress, negotiate

FP32 = "/v2/models/identity-fp32/infer"
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
).encode()
BINARY = {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]}


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip; q=0.2, identity; q=0.5", None),
        ("identity, gzip", "gzip"),
        ("br, zstd", None),
        ("*", None),
        ("gzip;q=many", None),
        ("gzip;level=9;q=1", "gzip"),
        (",,;q=", None),
    ],
)
def test_the_reply_is_in_the_coding_that_the_client_likes_best(header, coding):
    assert negotiate(header) == coding


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None),
        ("identity", None),
        ("gzip", "gzip"),
        ("X-GZip", "gzip"),
        ("Deflate", "deflate"),
    ],
)
def test_a_request_may_be_in_one_coding(header, coding):
    assert content_coding(header) == coding


@pytest.mark.parametrize("header", ["br", "gzip, deflate", "compress", "gzip;q=1"])
def test_any_other_coding_is_not_understood(header):
    with pytest.raises(EncodingUnsupported):
        content_coding(header)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_is_decompressed_up_to_the_limit(coding):
    data = compress(b"a" * 1000, coding, level=1)
    assert decompress(data, coding, limit=1000) == b"a" * 1000
    with pytest.raises(BodyTooLarge):
        decompress(data, coding, limit=999)
    for broken in (b"", data[:-1], data + b"x", b"x" + data, data + data):
        with pytest.raises(BodyCorrupt):
            decompress(broken, coding, limit=10_000)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_is_understood(http, coding, pack):
    reply = http.post(FP32, content=pack(BODY), headers={"Content-Encoding": coding})
    assert reply.json()["outputs"][0]["data"] == [1, 2, 3]


def test_a_large_compressed_request_is_understood(http):
    data = np.random.default_rng(0).random(3 * 5000).astype(np.float32)
    tensor = {"name": "x", "shape": [5000, 3], "datatype": "FP32", "data": data.tolist()}
    body = gzip.compress(json.dumps({"inputs": [tensor]}).encode())
    assert len(body) > 2**16
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "deflate"}
    reply = http.post(FP32, content=body, headers=headers)
    assert reply.headers["content-encoding"] == "deflate"
    np.testing.assert_array_equal(np.float32(reply.json()["outputs"][0]["data"]), data)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_binary_reply_keeps_the_length_of_its_json(http, coding):
    body = json.dumps(json.loads(BODY) | BINARY).encode()
    plain = http.post(FP32, content=body)
    packed = http.post(FP32, content=body, headers={"Accept-Encoding": coding})
    assert packed.headers["content-encoding"] == coding
    assert packed.content == plain.content  # httpx has decompressed it
    name = "inference-header-content-length"
    assert packed.headers[name] == plain.headers[name]
    assert packed.headers["content-length"] != plain.headers["content-length"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_only_infer_replies_are_compressed(http):
    reply = http.get("/v2/models/add", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in reply.headers
