"""``normserve train``: run a network's recipe and write its weights and its model card."""

import click

from models import SCENES, train_scene
from models import scene as find_scene
from models.errors import UnknownSceneError
from normserve.console import bar, stdout

__all__ = ["command"]


@click.command("train")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Train every network of the zoo.")
def command(names: tuple[str, ...], *, everything: bool) -> None:
    """Train networks of the zoo on their real data; writes weights and model cards.

    The names are those of the zoo: resnet, detector, bert, gpt, lstm_layernorm, style_transfer,
    stylegan, unet, lstm_weightnorm, switchable_resnet, llama.
    """
    chosen = tuple(SCENES) if everything else names
    if not chosen:
        raise click.UsageError(f"name a network ({', '.join(SCENES)}) or say --all.")
    for name in chosen:
        try:
            scene = find_scene(name)
        except UnknownSceneError as err:
            raise click.UsageError(str(err)) from err
        with bar(f"training {name}") as progress:
            value = train_scene(name, progress)
        stdout.print(
            f"{name}: {scene.metric.name} {scene.metric.format(value)} on the held-out split;"
            f" wrote {scene.weights} and {scene.card}"
        )
