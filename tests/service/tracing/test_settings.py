"""Which requests the trace settings choose, and what they may be."""

import pytest

from service.errors import ParameterInvalid
from service.tracing import TraceSettings

AT_START = {
    "trace_level": ("TIMESTAMPS",),
    "trace_rate": ("1",),
    "trace_count": ("-1",),
    "log_frequency": ("0",),
    "trace_file": ("",),
    "trace_mode": ("opentelemetry",),
}


@pytest.fixture
def settings():
    return TraceSettings(is_possible=True)


def traced(settings, model, *, of):
    """Which of so many requests for a model are traced, by their number from 1 on."""
    chosen = []
    for number in range(1, of + 1):
        if settings.is_on(model) and settings.is_due(model):
            settings.use_up(model)
            chosen.append(number)
    return chosen


def test_where_traces_can_be_sent_every_request_is_traced(settings):
    assert settings.values() == AT_START
    assert settings.values("m") == AT_START
    assert traced(settings, "m", of=3) == [1, 2, 3]


def test_where_they_cannot_tracing_is_off_and_says_which_setting_turns_it_on():
    settings = TraceSettings(is_possible=False)
    assert settings.values() == AT_START | {"trace_level": ("OFF",)}
    for model in (None, "m"):
        with pytest.raises(ParameterInvalid, match="NORMSERVE_OTEL_ENDPOINT"):
            settings.update({"trace_rate": ["7"], "trace_level": ["TIMESTAMPS"]}, model=model)
    assert settings.values()["trace_rate"] == ("1",)
    assert settings.update({"trace_level": ["OFF"], "trace_rate": ["7"]})["trace_rate"] == ("7",)


def test_off_and_on_at_run_time(settings):
    settings.update({"trace_level": ["OFF"]})
    assert traced(settings, "m", of=3) == []
    settings.update({"trace_level": ["TIMESTAMPS"]})
    assert traced(settings, "m", of=3) == [1, 2, 3]


def test_one_in_so_many(settings):
    settings.update({"trace_rate": ["3"]})
    assert traced(settings, "m", of=9) == [3, 6, 9]
    settings.update({"trace_rate": ["2"]})
    assert traced(settings, "m", of=4) == [2, 4]


def test_a_rate_of_0_begins_no_trace(settings):
    settings.update({"trace_rate": ["0"]})
    assert traced(settings, "m", of=5) == []


def test_so_many_more_and_no_more(settings):
    settings.update({"trace_count": ["2"]})
    assert traced(settings, "m", of=5) == [1, 2]
    assert settings.values()["trace_count"] == ("0",)
    settings.update({"trace_count": ["1"]})
    assert traced(settings, "m", of=5) == [1]


def test_a_model_has_what_is_set_for_it_and_the_rest_from_all(settings):
    settings.update({"trace_rate": ["2"]}, model="m")
    settings.update({"trace_rate": ["5"], "trace_count": ["8"], "log_frequency": ["3"]})
    own = settings.values("m")
    assert (own["trace_rate"], own["trace_count"], own["log_frequency"]) == (("2",), ("8",), ("3",))
    assert settings.values("other")["trace_rate"] == ("5",)
    assert traced(settings, "m", of=4) == [2, 4]
    assert settings.values()["trace_count"] == ("6",)


def test_a_model_counts_its_own_requests_and_uses_up_its_own_number(settings):
    settings.update({"trace_rate": ["2"], "trace_count": ["1"]}, model="m")
    assert traced(settings, "other", of=3) == [1, 2, 3]
    assert traced(settings, "m", of=6) == [2]
    assert settings.values("m")["trace_count"] == ("0",)
    assert settings.values()["trace_count"] == ("-1",)


def test_one_model_can_be_off_or_on_alone(settings):
    settings.update({"trace_level": ["OFF"]}, model="m")
    assert not settings.is_on("m")
    assert settings.is_on("other")
    settings.update({"trace_level": ["OFF"]})
    settings.update({"trace_level": ["TIMESTAMPS"]}, model="m")
    assert settings.is_on("m")
    assert not settings.is_on("other")
    assert not settings.is_on()


def test_what_is_taken_back_is_as_for_all_and_there_as_at_the_start(settings):
    for model in ("m", None):
        changes = {"trace_level": ["OFF"], "trace_rate": ["5"], "trace_count": ["4"]}
        settings.update(changes | {"log_frequency": ["9"]}, model=model)
    settings.update({"trace_rate": ["7"]})
    assert settings.update({"trace_rate": []}, model="m")["trace_rate"] == ("7",)
    everything = dict.fromkeys(AT_START, ())
    assert settings.update(everything) == AT_START
    assert settings.values("m")["trace_level"] == ("OFF",)
    assert settings.update(everything, model="m") == AT_START


def test_everything_that_was_read_can_be_sent_back(settings):
    assert settings.update(settings.values()) == AT_START


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trace_level": ["TENSORS"]}, "trace_level 'TENSORS' is not offered"),
        ({"trace_level": ["timestamps"]}, "it may be OFF or TIMESTAMPS"),
        ({"trace_level": ["OFF", "TIMESTAMPS"]}, "one of them"),
        ({"trace_rate": ["-1"]}, "trace_rate is '-1'; it must be a number from 0 to 4294967295"),
        ({"trace_rate": ["4294967296"]}, "from 0 to 4294967295"),
        ({"trace_rate": ["1.5"]}, "'1.5'"),
        ({"trace_rate": [""]}, "''"),
        ({"trace_rate": [" 5"]}, "' 5'"),
        ({"trace_rate": ["٣"]}, "it must be a number"),
        ({"trace_rate": ["9" * 5000]}, "it must be a number"),
        ({"trace_rate": ["1", "2"]}, "trace_rate has 2 values; it may have one"),
        ({"trace_count": ["-2"]}, "from -1 to 2147483647"),
        ({"trace_count": ["2147483648"]}, "from -1 to 2147483647"),
        ({"log_frequency": ["x"]}, "log_frequency is 'x'"),
        ({"trace_file": ["trace.json"]}, "writes no trace files"),
        ({"trace_mode": ["triton"]}, "opentelemetry is what there is here"),
        ({"trace_rtae": ["1"]}, "there is no trace setting 'trace_rtae'; there are trace_level"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(settings, changes, message):
    for model in (None, "m"):
        with pytest.raises(ParameterInvalid) as caught:
            settings.update({"trace_rate": ["9"], "trace_level": ["OFF"]} | changes, model=model)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 300
        assert settings.values(model) == AT_START
