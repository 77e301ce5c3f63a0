"""What can go wrong when a scene is asked for."""


class UnknownSceneError(LookupError):
    """There is no scene of this name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"There is no scene {name!r}; the scenes are {', '.join(known)}.")
