from hypothesis import given
from hypothesis import strategies as st

from normserve.validate.text import encodable, visible


@given(st.text())
def test_visible_text_is_on_one_line_and_can_be_printed(text):
    assert visible(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_can_be_seen_is_unchanged(text):
    assert visible(text) == text


def test_bytes_of_a_file_name_that_are_no_text_are_written_out():
    assert encodable("model-\udcff.onnx") == "model-\\udcff.onnx"
