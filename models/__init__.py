"""Small networks, one for each scene the normalizations are known for, trained on real data."""

from models.errors import UnknownSceneError
from models.registry import SCENES, scene
from models.scene import Metric, Progress, Recipe, Scene, TestSet, evaluate
from models.train import runner, train, train_scene

__all__ = [
    "SCENES",
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
