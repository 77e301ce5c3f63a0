"""What a client gives with a request to load a model, in place of what the repository has.

Writes nothing. Source: https://github.com/triton-inference-server/server, in docs/protocol
extension_model_repository.md (parameters ``config`` and ``file:<version>/<file name>``).
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from bundle import is_version
from service.errors import ParameterInvalid, excerpt
from service.model_config import read_json_config
from service.repository.plan import is_model_name

__all__ = ["FILE", "NOTHING_GIVEN", "GivenModel", "check_parameters"]

CONFIG: Final = "config"
"""The parameter that a configuration comes in."""
FILE: Final = "file:"
"""What the parameters begin with that files come in."""

_NO_EFFECT = "unload_dependents"
_MOST_FILES = 1000
_DEEPEST = 4
"""Parts of a path: ``<version>/test_data_set_0/input_0.pb`` has three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenModel:
    """A configuration, or a configuration and files.

    Attributes:
        config: a ``ModelConfig`` message that takes the place of the model's ``config.pbtxt``.
        files: content by path, ``<version>/model.onnx``; no others are loaded where there are any.
    """

    config: Any | None = field(default=None, compare=False)
    files: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of_parameters(cls, parameters: Mapping[str, object]) -> "GivenModel":
        """What the parameters of a request to load are.

        Args:
            parameters: as the client named them; the contents of files as bytes.

        Raises:
            ParameterInvalid: one is not offered or has the wrong type, the configuration is none, a
                path leads elsewhere, or there are files and no configuration.
        """
        check_parameters(parameters, {name for name in parameters if _is_given(name)})
        config = parameters.get(CONFIG)
        if config is not None and not isinstance(config, str):
            raise ParameterInvalid(f"parameter '{CONFIG}' must be a string; got {excerpt(config)}")
        files = {
            name.removeprefix(FILE): _content(name, content)
            for name, content in parameters.items()
            if name.startswith(FILE)
        }
        if len(files) > _MOST_FILES:
            raise ParameterInvalid(
                f"{len(files)} files are given; a model may have {_MOST_FILES} at most"
            )
        for path in files:
            _check_path(path, files)
        if files and config is None:
            raise ParameterInvalid(
                f"files are given without the parameter '{CONFIG}'; a model that is loaded from a"
                " request's files also takes its configuration from there ('{}' is enough)"
            )
        return cls(config=None if config is None else read_json_config(config), files=files)


def check_parameters(names: Iterable[str], known: AbstractSet[str] = frozenset()) -> None:
    """Whether a request to load or unload a model has no parameters but those that are known.

    ``unload_dependents`` may always be there: no model here depends on another.

    Raises:
        ParameterInvalid: it has another one.
    """
    refused = next((name for name in names if name not in known | {_NO_EFFECT}), None)
    if refused is not None:
        raise ParameterInvalid(
            f"parameter {excerpt(refused)} is not offered; to load a model there are '{CONFIG}' and"
            f" '{FILE}<version>/<file name>'"
        )


NOTHING_GIVEN: Final = GivenModel()
"""Everything is loaded as the repository has it."""


def _is_given(name: str) -> bool:
    return name == CONFIG or name.startswith(FILE)


def _content(name: str, content: object) -> bytes:
    if not isinstance(content, bytes):
        raise ParameterInvalid(f"parameter {excerpt(name)} must be bytes; got {excerpt(content)}")
    return content


def _check_path(path: str, others: Mapping[str, bytes]) -> None:
    parts = path.split("/")
    if len(parts) > _DEEPEST or not all(map(is_model_name, parts)):
        raise ParameterInvalid(
            f"parameter {excerpt(FILE + path)} is no file of a model; name it"
            f" '{FILE}<version>/<file name>', with no more than {_DEEPEST} parts, none of them"
            " hidden"
        )
    if len(parts) == 1:
        if path == "config.pbtxt":
            raise ParameterInvalid(
                f"'{FILE}config.pbtxt' is given; the configuration goes into the parameter"
                f" '{CONFIG}', as JSON"
            )
    elif not is_version(parts[0]):
        raise ParameterInvalid(
            f"parameter {excerpt(FILE + path)} has no version; the first part of the path is a"
            " number from 1 on"
        )
    for parent in PurePosixPath(path).parents:
        if str(parent) in others:
            raise ParameterInvalid(
                f"{excerpt(str(parent))} is given as a file, and {excerpt(path)} as a file in it"
            )
