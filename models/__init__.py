"""Small networks, one for each scene the normalizations are known for, trained on real data."""

from models.errors import UnknownSceneError
from models.registry import SCENES, scene
from models.scene import Arrays, Metric, Progress, Recipe, Scene, TestSet, evaluate
from models.training import runner, train, train_scene

__all__ = [
    "SCENES",
    "Arrays",
    "Metric",
    "Progress",
    "Recipe",
    "Scene",
    "TestSet",
    "UnknownSceneError",
    "evaluate",
    "runner",
    "scene",
    "train",
    "train_scene",
]
