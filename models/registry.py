"""All scenes, by name."""

from models import (
    bert,
    detector,
    gpt,
    llama,
    lstm_layernorm,
    lstm_weightnorm,
    resnet,
    style_transfer,
    stylegan,
    switchable_resnet,
    unet,
)
from models.errors import UnknownSceneError
from models.scene import Scene

SCENES: dict[str, Scene] = {
    module.SCENE.name: module.SCENE
    for module in (
        resnet,
        detector,
        bert,
        gpt,
        lstm_layernorm,
        style_transfer,
        stylegan,
        unet,
        lstm_weightnorm,
        switchable_resnet,
        llama,
    )
}


def scene(name: str) -> Scene:
    """Find a scene.

    Raises:
        UnknownSceneError: there is none of this name; the message lists those there are.
    """
    try:
        return SCENES[name]
    except KeyError as err:
        raise UnknownSceneError(name, tuple(SCENES)) from err
