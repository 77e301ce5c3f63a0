import pytest
import torch

from normserve.input_spec import parse_input


def test_numbers_are_fixed_and_names_are_dynamic():
    spec = parse_input("pixels:FP32[batch,3,224,224]")
    assert spec.name == "pixels"
    assert spec.shape == (2, 3, 224, 224)
    assert spec.dynamic == {0: "batch"}
    assert spec.example().shape == (2, 3, 224, 224)
    assert spec.example().dtype == torch.float32


def test_a_dynamic_dimension_may_have_a_size_of_its_own():
    spec = parse_input("ids:INT64[batch, length=16]")
    assert spec.shape == (2, 16)
    assert spec.dynamic == {0: "batch", 1: "length"}
    assert set(spec.example().unique().tolist()) <= {0, 1}


def test_a_scalar_has_no_dimensions():
    assert parse_input("t:FP64[]").shape == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pixels", r"wanted NAME:DATATYPE\[SIZES\]"),
        ("x:float[2]", "there are BOOL, UINT8"),
        ("x:BYTES[2]", "there are BOOL, UINT8"),
        ("x:FP32[-1]", "dimension '-1'"),
        ("x:FP32[0]", "dimension '0'"),
        ("x:FP32[batch=0]", "dimension 'batch=0'"),
    ],
)
def test_what_is_no_description_is_refused_with_what_one_looks_like(text, says):
    with pytest.raises(ValueError, match=says):
        parse_input(text)
