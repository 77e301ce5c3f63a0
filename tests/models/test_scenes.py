"""Every scene keeps its promises: weights, card, metric, names, shapes, recipe."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from models import SCENES, UnknownSceneError, evaluate, runner, scene, train
from models.card import read_value

MEGABYTE = 1_000_000
TRIAL_STEPS = {
    "lstm_layernorm": 12,
    "lstm_weightnorm": 20,
    "stylegan": 20,
    "unet": 12,
}
"""Steps after which a loss has visibly fallen; 8 where nothing is said."""


class Silence:
    def update(self, done, total, message):
        pass


class Recorder:
    def __init__(self):
        self.calls = []

    def update(self, done, total, message):
        self.calls.append((done, total, message))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(params=SCENES)
def chosen(request):
    return scene(request.param)


def test_the_eleven_scenes_are_there():
    assert list(SCENES) == [
        "resnet",
        "detector",
        "bert",
        "gpt",
        "lstm_layernorm",
        "style_transfer",
        "stylegan",
        "unet",
        "lstm_weightnorm",
        "switchable_resnet",
        "llama",
    ]


def test_an_unknown_scene_is_refused_with_the_list_of_names():
    with pytest.raises(UnknownSceneError, match="no scene 'resent'; the scenes are resnet, det"):
        scene("resent")


def test_the_committed_weights_fit_and_are_small(chosen):
    assert chosen.weights.stat().st_size < MEGABYTE
    assert not chosen.load().training


def test_the_weights_say_what_made_them(chosen):
    with safe_open(chosen.weights, framework="pt") as weights:
        origin = json.loads(weights.metadata()["recipe"])
    assert origin["scene"] == chosen.name
    assert origin["seed"] == chosen.recipe.seed
    assert origin["steps"] == chosen.recipe.steps
    assert chosen.metric.format(origin["value"]) == read_value(chosen.card)


def test_the_held_out_metric_is_the_cards(chosen):
    value = evaluate(chosen, runner(chosen.load(), chosen))
    assert chosen.metric.format(value) == read_value(chosen.card)


def test_the_network_beats_every_naive_answer(chosen):
    sign = 1 if chosen.metric.higher_is_better else -1
    value = evaluate(chosen, runner(chosen.load(), chosen))
    for name, baseline in chosen.baselines.items():
        assert sign * value > sign * evaluate(chosen, baseline), name


def test_inputs_and_outputs_have_their_names(chosen):
    inputs = chosen.example_inputs()
    outputs = runner(chosen.load(), chosen)(
        {name: part.numpy() for name, part in zip(chosen.input_names, inputs, strict=True)}
    )
    assert tuple(outputs) == chosen.output_names
    assert all(len(part) == 3 for part in (*inputs, *outputs.values()))
    assert set(chosen.dynamic_shapes) == set(chosen.input_names)


def test_only_axes_that_are_declared_dynamic_differ_between_the_real_inputs(chosen):
    examples = [chosen.example_inputs(), *chosen.reference_inputs()]
    for position, name in enumerate(chosen.input_names):
        shapes = {inputs[position].shape for inputs in examples}
        differing = {
            axis
            for axis in range(len(shapes.copy().pop()))
            if len({shape[axis] for shape in shapes}) > 1
        }
        assert differing == set(chosen.dynamic_shapes[name])


def test_real_inputs_of_every_shape_are_answered_finitely(chosen):
    module = chosen.load()
    for inputs in chosen.reference_inputs():
        outputs = module(*inputs)
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        assert all(torch.isfinite(output).all() for output in outputs)
        assert all(len(output) == len(inputs[0]) for output in outputs)


def test_in_eval_a_row_does_not_depend_on_its_neighbours(chosen):
    module = chosen.load().double()
    inputs = [
        part.double() if part.is_floating_point() else part for part in chosen.example_inputs()
    ]
    together, alone = module(*inputs), module(*(part[1:2] for part in inputs))
    together, alone = (
        (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        for outputs in (together, alone)
    )
    for all_rows, row in zip(together, alone, strict=True):
        torch.testing.assert_close(all_rows[1:2], row, rtol=1e-9, atol=1e-9)


def test_the_test_set_can_be_sent_as_it_is(chosen):
    test_set = chosen.test_set()
    for batch in test_set.batches:
        assert tuple(batch) == chosen.input_names
        assert all(part.dtype in (np.float32, np.int64) for part in batch.values())
        assert all(part.flags.c_contiguous for part in batch.values())
        assert len({len(part) for part in batch.values()}) == 1
    assert test_set.items == sum(len(batch[chosen.input_names[0]]) for batch in test_set.batches)


def test_a_short_training_run_lowers_the_loss(chosen):
    steps = TRIAL_STEPS.get(chosen.name, 8)
    losses = chosen.recipe.fit(chosen.build(), steps=steps, progress=Silence())
    assert len(losses) == steps
    assert np.mean(losses[-steps // 4 :]) < np.mean(losses[: steps // 4])


def test_training_reports_every_step():
    recorder = Recorder()
    train(scene("resnet"), recorder, steps=3)
    assert [(done, total) for done, total, _ in recorder.calls] == [(1, 3), (2, 3), (3, 3)]
    assert all(message.startswith("loss ") for _, _, message in recorder.calls)


@pytest.mark.parametrize("name", ["resnet", "stylegan"])
def test_training_twice_gives_the_same_weights(name):
    torch.manual_seed(99)
    first = train(scene(name), Silence(), steps=2).state_dict()
    torch.manual_seed(1)
    second = train(scene(name), Silence(), steps=2).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_training_leaves_torchs_global_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(scene("resnet"), Silence(), steps=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
