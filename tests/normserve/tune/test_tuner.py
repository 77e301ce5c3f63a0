import pytest

from bundle import MANIFEST, Datatype, GraphLevel, ProviderPolicy
from normserve.tune.errors import Untunable
from normserve.tune.model import Limits, TunedModel
from normserve.tune.tuner import Tuner
from service.repository import VersionPolicy
from tests.normserve.tune.ways import QUICK_S, SLOW_S, Ways
from tests.service import tiny


@pytest.fixture
def repository(tmp_path):
    tiny.write_verified(tmp_path, "m")
    return tmp_path


def model_in(repository, *, max_rows=8):
    limits = Limits(policy=ProviderPolicy.CPU, budget=tiny.BUDGET, max_rows=max_rows)
    return TunedModel.of(repository, "m", default=VersionPolicy(), limits=limits)


async def tuned(repository, ways, *, objective="throughput", budget_s=60.0, max_rows=8):
    said = []
    tuner = Tuner(
        model_in(repository, max_rows=max_rows),
        ways,
        objective=objective,
        budget_s=budget_s,
        say=said.append,
        clock=ways.clock,
    )
    try:
        evidence = await tuner.run()
    finally:
        ways.close()
    assert said
    return evidence


async def test_what_is_better_beyond_noise_is_chosen_and_what_was_measured_is_told(repository):
    def seconds(*, threads, **how):
        return QUICK_S if threads == 2 else SLOW_S

    evidence = await tuned(repository, Ways(seconds), max_rows=1)
    assert evidence.present.threads == 1
    assert evidence.chosen.threads == 2
    assert evidence.gain.is_better
    assert evidence.gain.ratio > 1.03
    assert len(evidence.gain.ratios) >= 5
    assert {trial.stage for trial in evidence.trials} >= {"shares of the cores", "the session"}
    measured = [trial for trial in evidence.trials if not trial.unmeasured]
    assert all(len(trial.rates) == len(trial.ratios) > 0 for trial in measured)
    assert type(evidence).model_validate_json(evidence.model_dump_json()) == evidence


async def test_options_of_the_session_are_found_too(repository):
    def seconds(*, tuning, **how):
        return QUICK_S if tuning.level is GraphLevel.BASIC else SLOW_S

    evidence = await tuned(repository, Ways(seconds), objective="latency")
    assert evidence.chosen.tuning.level is GraphLevel.BASIC
    assert evidence.chosen.threads == evidence.present.threads


async def test_where_all_ways_are_alike_nothing_is_chosen(repository):
    evidence = await tuned(repository, Ways(lambda **how: SLOW_S), objective="latency")
    assert evidence.gain is None
    assert evidence.chosen == evidence.present


async def test_a_way_that_answers_wrong_is_refused_however_quick_it_is(repository):
    def is_wrong(*, threads, **how):
        return threads == 2

    def seconds(*, threads, **how):
        return QUICK_S if threads == 2 else SLOW_S

    evidence = await tuned(repository, Ways(seconds, is_wrong), max_rows=1)
    refused = [trial for trial in evidence.trials if trial.run.threads == 2]
    assert refused
    assert all("got 3, expected 2" in trial.unmeasured for trial in refused)
    assert evidence.chosen.threads == 1


async def test_a_way_that_does_not_open_is_refused_with_the_reason(repository):
    ways = Ways(is_refused=lambda tuning, **how: not tuning.mem_arena)
    evidence = await tuned(repository, ways, objective="latency")
    (trial,) = [trial for trial in evidence.trials if not trial.run.tuning.mem_arena]
    assert trial.unmeasured == "refused: not like that"


async def test_a_way_whose_process_ends_while_it_runs_is_not_chosen(repository):
    ways = Ways(is_lost=lambda threads, **how: threads == 2)
    evidence = await tuned(repository, ways, objective="latency")
    assert evidence.chosen.threads == 1
    assert any(
        trial.unmeasured == "ended: the model's process ended during the run"
        for trial in evidence.trials
        if trial.run.threads == 2
    )


async def test_a_model_whose_process_ends_as_it_is_now_is_not_tuned(repository):
    ways = Ways(is_lost=lambda threads, **how: threads == 1)
    with pytest.raises(Untunable, match="stopped running as it is now"):
        await tuned(repository, ways)


async def test_a_model_that_answers_wrong_as_it_is_now_is_not_tuned(repository):
    with pytest.raises(Untunable, match="does not run right as it is now: output 'y'"):
        await tuned(repository, Ways(is_wrong=lambda **how: True))


async def test_a_bundle_without_golden_samples_is_not_tuned(tmp_path):
    tiny.write_verified(tmp_path, "m", samples=False)
    with pytest.raises(Untunable, match="no golden sample"):
        await tuned(tmp_path, Ways())


async def test_a_plain_file_is_held_against_itself(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.scale(2.0))
    ways = Ways(is_wrong=lambda threads, **how: threads == 2)
    evidence = await tuned(tmp_path, ways, max_rows=1)
    assert all("got" in t.unmeasured for t in evidence.trials if t.run.threads == 2)
    assert evidence.batching.startswith("bitwise")


async def test_rows_that_influence_each_other_never_share_a_run(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.batch_mean())
    evidence = await tuned(tmp_path, Ways())
    assert evidence.batching.startswith("dependent")
    assert {trial.run.rows for trial in evidence.trials} == {1}


async def test_rows_of_a_run_are_tried_within_what_may_be(repository):
    tiny.write_config(repository, "m", "max_batch_size: 4")
    evidence = await tuned(repository, Ways(lambda **how: SLOW_S), max_rows=64)
    assert {trial.run.rows for trial in evidence.trials} <= {1, 2, 4}
    assert evidence.chosen.rows == 4  # every run takes as long, whatever its rows


async def test_it_starts_from_what_the_configuration_says(repository):
    tiny.write_config(
        repository,
        "m",
        """instance_group { count: 1 } optimization { graph { level: -1 } }
           parameters { key: "intra_op_thread_count" value { string_value: "2" } }""",
    )
    ways = Ways()
    evidence = await tuned(repository, ways, objective="latency")
    assert ways.opened[0]["threads"] == evidence.present.threads == 2
    assert ways.opened[0]["tuning"].level is evidence.present.tuning.level is GraphLevel.BASIC
    assert ways.opened[0]["at_once"] == evidence.present.instances == 1


async def test_a_model_of_any_kind_of_tensor_can_be_tuned(tmp_path):
    tiny.write_plain(tmp_path, "m", tiny.identity(Datatype.BYTES))
    evidence = await tuned(tmp_path, Ways())
    assert evidence.model == "m"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda home: (home / "config.pbtxt").write_text("name: {"), "cannot be served as it is"),
        (lambda home: (home / "config.pbtxt").write_text('name: "x"'), "is for the model 'x'"),
        (lambda home: (home / "1").rename(home / "none"), "has no model 'm'"),
    ],
)
def test_a_model_that_cannot_be_served_is_not_tuned(repository, spoil, said):
    spoil(repository / "m")
    with pytest.raises(Untunable, match=said):
        model_in(repository)


def test_it_is_the_version_that_is_served_that_is_tuned(repository):
    tiny.write_verified(repository, "m", version=10)
    tiny.write_verified(repository, "m", version=9)
    model = model_in(repository)
    assert model.folder.version == 10
    assert (model.folder.path / MANIFEST).exists()
