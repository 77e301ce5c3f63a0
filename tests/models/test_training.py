"""A trained scene leaves its weights and its card behind."""

from dataclasses import replace

import pytest

from models import Scene, evaluate, runner, scene, train_scene
from models.card import read_value


class Silence:
    def update(self, done, total, message):
        pass


@pytest.fixture
def short_resnet(tmp_path, monkeypatch):
    """The resnet with a recipe of two steps, whose files go to a temporary folder."""
    short = scene("resnet")
    short = replace(short, recipe=replace(short.recipe, steps=2))
    monkeypatch.setattr(Scene, "weights", tmp_path / "resnet.safetensors")
    monkeypatch.setattr(Scene, "card", tmp_path / "resnet.md")
    monkeypatch.setattr("models.training.scene", lambda name: {"resnet": short}[name])
    return short


def test_training_a_scene_writes_weights_and_card_that_agree(short_resnet):
    value = train_scene("resnet", Silence())
    assert evaluate(short_resnet, runner(short_resnet.load(), short_resnet)) == value
    assert read_value(short_resnet.card) == short_resnet.metric.format(value)


def test_training_a_scene_again_gives_the_same_file(short_resnet):
    train_scene("resnet", Silence())
    first = short_resnet.weights.read_bytes()
    train_scene("resnet", Silence())
    assert short_resnet.weights.read_bytes() == first


def test_a_card_tells_data_licence_seed_and_versions(short_resnet):
    train_scene("resnet", Silence())
    card = short_resnet.card.read_text(encoding="utf-8")
    for said in ("UCI", "CC BY 4.0", "seed 1", "2 steps", "torch 2.", "nearest class mean"):
        assert said in card


def test_a_file_that_is_no_card_is_refused(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Something else\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no row"):
        read_value(path)
