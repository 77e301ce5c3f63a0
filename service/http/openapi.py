"""What the OpenAPI document says beyond what FastAPI reads from the routes. Serves nothing."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.http.examples import example_of
from service.http.schemas import (
    ErrorBody,
    GenerateReply,
    GenerateRequest,
    IndexRequest,
    InferReply,
    InferRequest,
    LoadRequest,
    RegisterRequest,
    UnloadRequest,
)

__all__ = [
    "GENERATE_EVENTS",
    "GENERATE_REPLY",
    "GENERATE_REQUEST",
    "INFER_REPLY",
    "INFER_REQUEST",
    "failures",
    "install_openapi",
    "json_body",
]

Responses = dict[int | str, dict[str, Any]]

_EXAMPLES: Final[Mapping[int, tuple[str, str]]] = {
    400: (
        "The request is wrong.",
        "input 'pixels' has shape (2, 1); the model wants (batch, 1, 8, 8)",
    ),
    401: (
        "It needs a key.",
        "this needs a key: send it as 'Authorization: Bearer KEY'",
    ),
    403: (
        "It may not be asked for over this address, or with this key.",
        "this key is for inference; the operation needs the admin key",
    ),
    404: ("There is no such model or version.", "there is no model 'resnet50'"),
    413: ("The body is too large.", "the body is larger than 67108864 bytes, the most it takes"),
    415: (
        "The body's content coding is not understood.",
        "the body's Content-Encoding is 'br'; this server understands gzip and deflate",
    ),
    503: (
        "It cannot answer now.",
        "model 'resnet' version 2 is UNAVAILABLE: 'model.onnx' was changed",
    ),
}
_REF = "#/components/schemas/{model}"
_BODIES: Final[Mapping[type[BaseModel], Literal["serialization", "validation"]]] = {
    InferRequest: "validation",
    IndexRequest: "validation",
    LoadRequest: "validation",
    UnloadRequest: "validation",
    GenerateRequest: "validation",
    RegisterRequest: "validation",
    InferReply: "serialization",
    GenerateReply: "serialization",
    ErrorBody: "serialization",
}
"""Those that no route declares."""


def failures(*statuses: int) -> Responses:
    """The error replies of a route, for its documentation."""
    responses: Responses = {}
    for status in statuses:
        description, message = _EXAMPLES[status]
        responses[status] = _response(description, ErrorBody, example={"error": message})
    responses["default"] = _response(HTTPStatus(500).phrase, ErrorBody)
    return responses


def _response(description: str, model: type[BaseModel], **example: Any) -> dict[str, Any]:
    # a reference: FastAPI would build a validator for each model that is given it with a route
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref(model), **example}},
    }


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def json_body(
    model: type[BaseModel], *, required: bool, example: Mapping[str, Any]
) -> dict[str, Any]:
    """The documentation of a body that a route reads by itself."""
    content: dict[str, Any] = {"schema": _ref(model), "example": example}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
_HEADER_LENGTH: Final = {
    "description": "Bytes of JSON that the body begins with; the binary tensors follow it. In a"
    " request, 0 is for a body that is the model's only input and nothing else.",
    "schema": {"type": "integer", "minimum": 0},
}

INFER_REQUEST: Final = json_body(
    InferRequest,
    required=True,
    example={
        "id": "42",
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}
        ],
        "outputs": [{"name": "y"}],
    },
)
INFER_REQUEST["requestBody"]["content"]["application/octet-stream"] = _BINARY
INFER_REQUEST["parameters"] = [
    {"name": "Inference-Header-Content-Length", "in": "header", "required": False} | _HEADER_LENGTH
]

_INFERRED: Final = {
    "model_name": "double",
    "model_version": "1",
    "id": "42",
    "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 4.0, 6.0, 8.0]},
    ],
}

INFER_REPLY: Final[Responses] = {
    200: _response("What the model answers.", InferReply, example=_INFERRED)
}
INFER_REPLY[200]["headers"] = {"Inference-Header-Content-Length": _HEADER_LENGTH}
INFER_REPLY[200]["content"]["application/octet-stream"] = _BINARY


GENERATE_REQUEST: Final = json_body(
    GenerateRequest, required=True, example={"text_input": "a dog", "temperature": 0.5}
)

_GENERATED: Final = {"model_name": "poet", "model_version": "1", "text_output": "a dog barks"}

GENERATE_REPLY: Final[Responses] = {
    200: _response("What the model answers.", GenerateReply, example=_GENERATED)
}

GENERATE_EVENTS: Final[Responses] = {
    200: {
        "description": "What the model answers: after `data: `, the object that generate answers.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def install_openapi(app: FastAPI) -> None:
    """Add examples, and the schemas of bodies that no route declares, to the app's document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        _, definitions = models_json_schema(list(_BODIES.items()), ref_template=_REF)
        for name, schema in definitions["$defs"].items():
            schemas.setdefault(name, schema)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _add_example(operation, example_of(path))
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI's documentation gives


def _add_example(operation: Mapping[str, Any], example: object) -> None:
    """Give an example to the answers that have a body and no example of their own."""
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            if status.startswith("2") and example is not None:
                content.setdefault("example", example)
