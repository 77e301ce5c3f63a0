"""Which models answer now, as the fronts know them: each with a token of its own. Sends nothing."""

import itertools

from service.fronts.line import Message
from service.fronts.messages import FORGET, KNOW
from service.metrics.served import ready_models
from service.registry import Registry, ServedModel

__all__ = ["Directory"]


class Directory:
    """The models that answer, by their tokens.

    Args:
        registry: what is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._tokens = itertools.count(1)
        self._models: dict[int, ServedModel] = {}

    def is_current(self, token: int, model: ServedModel) -> bool:
        """Whether a token is this model's."""
        return self._models.get(token) is model

    def update(self) -> list[Message]:
        """Take in what the registry has now; gives what is to be told to those who know the rest.

        What comes is told before what goes, so that a model that is replaced is never unknown.
        """
        ready = {id(model): model for model in ready_models(self._registry)}
        gone = [token for token, model in self._models.items() if id(model) not in ready]
        there = {id(model) for model in self._models.values()}
        new = {next(self._tokens): model for key, model in ready.items() if key not in there}
        self._models.update(new)
        for token in gone:
            del self._models[token]
        return [
            *(_known(token, model) for token, model in new.items()),
            *((FORGET, token) for token in gone),
        ]

    def all(self) -> list[Message]:
        """What is to be told to one who knows nothing."""
        return [_known(token, model) for token, model in self._models.items()]


def _known(token: int, model: ServedModel) -> Message:
    return KNOW, token, model.name, model.version, model.signature
