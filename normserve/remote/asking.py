"""One request to a running service, as arrays in and arrays out. Shows nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.http as http

from bundle import Datatype

__all__ = ["Answer", "ask"]

_PROVENANCE = "normserve_provenance"  # `service.provenance` has it too, and needs the whole service


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered.

    Attributes:
        version: of the model that answered.
        outputs: by name, in the order of the reply.
        provenance: how it came about, where that was asked for and the service tells it.
    """

    version: str
    outputs: Mapping[str, np.ndarray]
    provenance: Mapping[str, bool | int | float | str]


def ask(
    client: Any,
    model: str,
    inputs: Mapping[str, np.ndarray],
    *,
    version: str = "",
    provenance: bool = False,
) -> Answer:
    """Ask a model.

    Args:
        client: of the service (`normserve.remote.connected`).
        model: its name.
        inputs: an array for each of its inputs.
        version: of the model; the latest where it is empty.
        provenance: whether the service is to say how the answer came about.

    Raises:
        InferenceServerException: the service answers with an error.
        OSError: it does not answer.
    """
    tensors = [
        http.InferInput(
            name, list(array.shape), Datatype.from_numpy(array.dtype)
        ).set_data_from_numpy(array)
        for name, array in inputs.items()
    ]
    parameters = {_PROVENANCE: True} if provenance else None
    result = client.infer(model, tensors, model_version=version, parameters=parameters)
    response = result.get_response()
    return Answer(
        version=response.get("model_version", ""),
        outputs={each["name"]: result.as_numpy(each["name"]) for each in response["outputs"]},
        provenance=response.get("parameters", {}),
    )
