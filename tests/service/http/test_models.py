def test_metadata_says_what_the_model_takes_and_gives(http):
    body = http.get("/v2/models/add").json()
    properties = body.pop("properties")
    tensors = {"datatype": "INT32", "shape": [-1, 2]}
    assert body == {
        "name": "add",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "a"} | tensors, {"name": "b"} | tensors],
        "outputs": [{"name": "z"} | tensors, {"name": "m"} | tensors],
    }
    assert properties["inputs"] == "a: INT32 (rows, 2); b: INT32 (rows, 2)"


def test_metadata_tells_a_verified_bundle_from_a_plain_folder(http):
    verified = http.get("/v2/models/verified").json()["properties"]
    assert verified["verified"] == "true"
    assert verified["golden_samples"] == "1"
    assert float(verified["golden_max_abs_error"]) == 0.0
    assert verified["batch_dependent"] == "bn1"
    assert verified["provider"] == "CPUExecutionProvider"
    plain = http.get("/v2/models/add").json()["properties"]
    assert plain["verified"] == "false"
    assert "manifest" in plain["verified_reason"]
    assert plain["batch_dependent"] == "unknown"
    assert all(isinstance(value, str) for value in {**verified, **plain}.values())


def test_versions_are_listed_as_numbers_go(http):
    assert http.get("/v2/models/versions").json()["versions"] == ["2", "9", "10"]
    assert http.get("/v2/models/versions/versions/9").json()["versions"] == ["9"]


def test_metadata_names_the_version_that_failed(http):
    body = http.get("/v2/models/fallback").json()
    assert body["versions"] == ["1"]
    assert "fallback version 2 is UNAVAILABLE" in body["properties"]["not_ready"]


def test_a_ready_model_says_so(http):
    assert http.get("/v2/models/add/ready").json() == {"name": "add", "ready": True}
    assert http.get("/v2/models/add/versions/1/ready").status_code == 200


def test_the_index_has_every_version_and_why(http):
    entries = {(e["name"], e["version"]): e for e in http.post("/v2/repository/index").json()}
    assert entries["versions", "10"] == {
        "name": "versions",
        "version": "10",
        "state": "READY",
        "reason": "",
    }
    assert entries["fallback", "2"]["state"] == "UNAVAILABLE"
    assert "golden sample" in entries["fallback", "2"]["reason"]


def test_the_index_can_be_of_the_ready_ones(http):
    names = {e["name"] for e in http.post("/v2/repository/index", json={"ready": True}).json()}
    assert "add" in names
    assert "broken" not in names


def test_a_head_request_is_a_get_without_the_body(http):
    head, get = http.head("/v2/models/add"), http.get("/v2/models/add")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]
    assert http.head("/v2/models/add/infer").status_code == 405
    assert http.head("/v2/models/nobody").status_code == 404
    assert http.get("/v2/health/live").status_code == 200


def test_the_configuration_is_told_as_triton_writes_it(http):
    config = http.get("/v2/models/versions/versions/9/config").json()
    assert (config["name"], config["max_batch_size"]) == ("versions", 0)
    assert config["input"][0]["data_type"] == "TYPE_FP32"
    assert config["input"][0]["dims"] == [-1, 2]
    assert http.get("/v2/models/nobody/config").status_code == 404
