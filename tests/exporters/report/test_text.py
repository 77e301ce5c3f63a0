import math

import pytest

from exporters.report.text import brief, grouped, number, printable, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.0123456, "0.0123"),
        (1.5, "1.50"),
        (-0.25, "-0.250"),
        (1e-5, "1e-5"),
        (1.234e-7, "1.23e-7"),
        (1234.56, "1\u202f235"),
        (1.23456e9, "1.23e9"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_a_number_that_was_shown_can_be_read_back():
    assert float(number(9.8765e-7)) == pytest.approx(9.8765e-7, rel=1e-2)


def test_large_counts_are_grouped():
    assert grouped(1_234_567) == "1\u202f234\u202f567"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0\u00a0bytes"), (613_000, "613\u00a0kB"), (2_500_000, "2.50\u00a0MB")]
)
def test_sizes_have_a_unit(count, text):
    assert size(count) == text


def test_what_cannot_be_seen_is_replaced_and_letters_of_all_scripts_stay():
    assert printable("a\x00\u202eb\ud800") == "a\ufffd\ufffdb\ufffd"
    assert printable("层.γ²\n") == "层.γ²\n"


def test_a_long_text_loses_its_middle():
    assert brief("abcdefghij", 5) == "ab…ij"
    assert brief("abcde", 5) == "abcde"
