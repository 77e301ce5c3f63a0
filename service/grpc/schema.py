"""The messages of the protocol, from the descriptor set that the build compiled. Fills none in."""

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

__all__ = ["POOL", "SERVICE", "message"]

_DESCRIPTORS = "protos/protocol.binpb"


def _load() -> descriptor_pool.DescriptorPool:
    compiled = resources.files("service.grpc").joinpath(_DESCRIPTORS)
    if not compiled.is_file():
        raise RuntimeError(
            "the protocol was not compiled: install the package (pip install -e . in a checkout),"
            " which does it"
        )
    content = compiled.read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(content).file:
        pool.Add(file)
    return pool


POOL = _load()
"""Apart from protobuf's own pool: client libraries put messages of the same names into that one."""

SERVICE: ServiceDescriptor = POOL.FindServiceByName("inference.GRPCInferenceService")
"""Every method with its messages."""


def message(name: str) -> Any:
    """The class of a message of the protocol, such as ``ModelInferRequest``.

    Raises:
        KeyError: the protocol has none of that name.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))
