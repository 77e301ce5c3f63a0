"""``config.pbtxt``, so that Triton serves the same folder unchanged.

Source: https://github.com/triton-inference-server/common, ``protobuf/model_config.proto``.
"""

from bundle.manifest import Manifest
from bundle.tensors import Datatype, TensorSpec

__all__ = ["model_config"]


def model_config(manifest: Manifest) -> str:
    """The model's configuration as protobuf text.

    ``max_batch_size`` is 0: all dimensions are listed, and no server may batch requests of a model
    of which it is not known that its rows do not influence each other.
    """
    return "\n".join(
        [
            f'name: "{manifest.name}"',
            'platform: "onnxruntime_onnx"',
            "max_batch_size: 0",
            *(_tensor("input", spec) for spec in manifest.inputs),
            *(_tensor("output", spec) for spec in manifest.outputs),
            "",
        ]
    )


def _tensor(field: str, spec: TensorSpec) -> str:
    datatype = "STRING" if spec.datatype is Datatype.BYTES else str(spec.datatype)
    dims = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in spec.shape)
    name = spec.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{field} {{ name: "{name}" data_type: TYPE_{datatype} dims: [ {dims} ] }}'
