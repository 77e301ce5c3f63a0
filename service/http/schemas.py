"""The protocol's JSON documents, for replies off the hot path and for the OpenAPI document.

Not for infer requests and replies on their way: the codec reads and writes those.
Source: https://github.com/kserve/open-inference-protocol, open_inference_rest.yaml.
"""

from typing import Any

from pydantic import ConfigDict, Field

from bundle.tensors import Datatype
from service.http.body import Body
from service.registry import State

__all__ = [
    "ErrorBody",
    "GenerateReply",
    "GenerateRequest",
    "IndexEntry",
    "IndexRequest",
    "InferReply",
    "InferRequest",
    "Live",
    "LoadRequest",
    "ModelMetadataBody",
    "ModelReady",
    "Ready",
    "RegionStatus",
    "RegisterRequest",
    "ServerMetadata",
    "UnloadRequest",
]

Parameters = dict[str, str | int | float | bool]


class ErrorBody(Body):
    """What every error looks like."""

    error: str
    """What was got, what was wanted, what to do."""


class Live(Body):
    """The process answers."""

    live: bool


class Ready(Body):
    """The server can answer for every model that it should."""

    ready: bool


class ServerMetadata(Body):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Body):
    """An input or an output of a model."""

    name: str
    datatype: Datatype
    shape: list[int]
    """-1 for a dimension that may have any size."""


class ModelMetadataBody(Body):
    """What a model takes, gives and is."""

    name: str
    versions: list[str]
    """The versions that answer."""
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]
    """What is known of the version: whether its golden samples agreed, on which provider it runs,
    the names of its dynamic dimensions."""


class ModelReady(Body):
    """The model can answer."""

    name: str
    ready: bool


class RegisterRequest(Body):
    """The part of a shared memory object that is to be a region."""

    key: str
    """Of the object, as ``shm_open`` takes it."""
    offset: int = Field(default=0, ge=0)
    """Bytes in front of the region in the object."""
    byte_size: int = Field(ge=1)


class RegionStatus(Body):
    """A region of shared memory."""

    name: str
    key: str
    offset: int
    byte_size: int


class IndexRequest(Body):
    """Which versions to list."""

    ready: bool = False
    """Only those that can answer."""


class LoadRequest(Body):
    """What is to be loaded in place of what the repository has."""

    parameters: dict[str, str | bool | None] | None = None
    """``config``: the JSON of a model configuration, as a string; ``file:<version>/<name>``: a
    file of the model in base 64, and no other files are loaded then."""


class UnloadRequest(Body):
    """How a model is to be unloaded."""

    parameters: dict[str, bool | None] | None = None
    """``unload_dependents``: makes no difference, for no model depends on another."""


class IndexEntry(Body):
    """A model version and its state."""

    name: str
    version: str
    state: State
    reason: str
    """Why it is in that state; empty where the state says enough."""


class RequestInput(Body):
    """An input tensor, its data in JSON or, with the parameter ``binary_data_size``, behind it."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    data: list[Any] | None = None
    """Flat and row-major, or nested as the shape says."""


class RequestOutput(Body):
    """A wanted output."""

    name: str
    parameters: Parameters | None = None
    """``binary_data``: whether it travels behind the JSON."""


class InferRequest(Body):
    """An inference request."""

    id: str | None = None
    parameters: Parameters | None = None
    """``binary_data_output``: whether outputs travel behind the JSON where they do not say."""
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None = None
    """All of the model's, if left out or empty."""


class ReplyOutput(Body):
    """An output tensor."""

    name: str
    datatype: Datatype
    shape: list[int]
    parameters: Parameters | None = None
    """``binary_data_size``: bytes of it behind the JSON; then there is no ``data``."""
    data: list[Any] | None = Field(default=None)
    """Flat and row-major."""


class InferReply(Body):
    """An inference reply."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: Parameters | None = None
    """How the answer came about, where that was asked for (``normserve_provenance``)."""
    outputs: list[ReplyOutput]


class GenerateRequest(Body):
    """Inputs by their names; every other key is a parameter."""

    model_config = ConfigDict(extra="allow")

    id: str | None = None
    parameters: dict[str, Any] | None = None
    """More inputs and parameters."""


class GenerateReply(Body):
    """Outputs by their names: a value where there is one element, else a flat array."""

    model_config = ConfigDict(extra="allow")

    model_name: str
    model_version: str
    id: str | None = None
