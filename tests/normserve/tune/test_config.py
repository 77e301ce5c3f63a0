import json
from datetime import UTC, datetime

import pytest

from bundle import AS_IT_COMES, GraphLevel, ProviderPolicy, SessionTuning
from normserve.tune.config import configured, write
from normserve.tune.errors import Untunable
from normserve.tune.evidence import Comparison, Evidence, Run
from normserve.tune.model import Limits, TunedModel
from service.model_config import read_config
from service.model_options import read_options
from service.repository import VersionPolicy
from tests.service import tiny

PRESENT = Run(threads=1, instances=2, rows=1, tuning=AS_IT_COMES)


def run(**change):
    return PRESENT.model_copy(update=change)


def asked(config):
    return read_options(config, name="m")


@pytest.mark.parametrize(
    "text",
    [
        "",
        'name: "m" instance_group { count: 2 kind: KIND_CPU } instance_group { count: 1 }',
        "optimization { graph { level: 2 } eager_batching: true }",
    ],
)
@pytest.mark.parametrize(
    "tuning",
    [
        AS_IT_COMES,
        SessionTuning(level=GraphLevel.BASIC, mem_arena=False, mem_pattern=False),
        SessionTuning(level=GraphLevel.EXTENDED, inter_op_threads=4),
        SessionTuning(provider_options=(("CUDAExecutionProvider", "prefer_nhwc", "1"),)),
    ],
)
def test_what_is_written_is_what_the_service_reads(text, tuning):
    config = read_config(text)
    before = asked(config)
    present = run(tuning=before.tuning)
    chosen = run(threads=2, instances=1, rows=16, tuning=tuning)
    made = asked(configured(config, present=present, chosen=chosen))
    assert (made.threads, made.instances, made.rows, made.tuning) == (2, 1, 16, tuning)


def test_what_is_the_same_is_not_written():
    assert configured(None, present=PRESENT, chosen=PRESENT) == read_config("")
    fewer = configured(None, present=PRESENT, chosen=run(instances=1))
    assert fewer == read_config("instance_group { count: 1 }")


def test_what_was_tuned_can_be_taken_back():
    tuning = SessionTuning(level=GraphLevel.NONE, inter_op_threads=2, mem_arena=False)
    config = configured(None, present=PRESENT, chosen=run(tuning=tuning))
    again = configured(config, present=run(tuning=tuning), chosen=PRESENT)
    assert asked(again).tuning == AS_IT_COMES


def test_rows_are_written_for_triton_only_where_somebody_lets_it_batch():
    tritons = read_config("max_batch_size: 64 dynamic_batching { }")
    made = configured(tritons, present=PRESENT, chosen=run(rows=16))
    assert list(made.dynamic_batching.preferred_batch_size) == [16]
    assert not made.parameters
    ours = configured(read_config("max_batch_size: 64"), present=PRESENT, chosen=run(rows=16))
    assert not ours.HasField("dynamic_batching")
    assert asked(ours).rows == 16


@pytest.fixture
def model_of(tmp_path):
    """The model of a repository whose configuration has this text."""

    def model(text):
        tiny.write_verified(tmp_path, "m")
        path = tmp_path / "m" / "config.pbtxt"
        path.unlink()
        if text is not None:
            path.write_text(text)
        return model_in(tmp_path)

    return model


def model_in(repository):
    limits = Limits(policy=ProviderPolicy.CPU, budget=tiny.BUDGET, max_rows=64)
    return TunedModel.of(repository, "m", default=VersionPolicy(), limits=limits)


def evidence(**change):
    gain = Comparison(
        stage="a test",
        present="one",
        challenger="another",
        ratios=(1.5,) * 11,
        ratio=1.5,
        at_least=1.5,
        is_better=True,
    )
    return Evidence(
        model="m",
        version=1,
        model_sha256="0" * 64,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        normserve="1",
        runtime="onnxruntime 1",
        provider="CPUExecutionProvider",
        device="a processor",
        cores=2,
        load=None,
        objective="throughput",
        budget_s=1.0,
        seconds=1.0,
        batching="bitwise",
        rule="a rule",
        present=PRESENT,
        chosen=run(**change),
        gain=gain,
        comparisons=(gain,),
        trials=(),
    )


TEXT = """# whose it is
name: "m"
parameters { key: "theirs" value { string_value: "x" } }
max_batch_size: 0  # as it was
"""


def test_the_configuration_keeps_what_else_it_says_and_points_to_the_evidence(model_of):
    model = model_of(TEXT)
    config, proof = write(model, evidence(threads=2, instances=1))
    text = config.read_text()
    assert text.startswith(
        "# tuned by 'normserve tune' for throughput on 2026-01-02 (1.50 x): see tuning.json\n"
        '# whose it is\nname: "m"\n'
    )
    assert "max_batch_size: 0  # as it was\n" in text
    made = read_config(text)
    assert made.parameters["theirs"].string_value == "x"
    assert asked(made).threads == 2
    assert json.loads(proof.read_text())["chosen"]["threads"] == 2
    assert proof.name == "tuning.json"
    assert {path.name for path in config.parent.iterdir()} == {"1", "config.pbtxt", "tuning.json"}


def test_tuned_again_it_has_one_remark(model_of, tmp_path):
    write(model_of(TEXT), evidence(threads=2))
    config, _ = write(model_in(tmp_path), evidence(threads=4))
    assert config.read_text().count("# tuned by") == 1
    assert asked(read_config(config.read_text())).threads == 4


def test_a_model_without_a_configuration_gets_one(model_of):
    config, _ = write(model_of(None), evidence(threads=2, instances=1))
    assert asked(read_config(config.read_text())).threads == 2


def test_a_configuration_that_somebody_has_changed_meanwhile_is_left_alone(model_of):
    model = model_of(TEXT)
    path = model.folder.path.parent / "config.pbtxt"
    path.write_text("max_batch_size: 8")
    with pytest.raises(Untunable, match="was changed while its model was tuned"):
        write(model, evidence(threads=2))
    assert path.read_text() == "max_batch_size: 8"
    assert not (path.parent / "tuning.json").exists()
