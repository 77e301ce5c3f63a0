"""Bytes of a call to its message. Knows no methods.

gRPC's own way answers bytes that are no such message UNKNOWN, with the names of Python's classes.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from service.errors import BodyCorrupt

__all__ = ["reader_of"]


def reader_of(handler: Any, *, method: str) -> Callable[[bytes], Any]:
    """What reads the messages of a handler, and raises `BodyCorrupt` for bytes that are none.

    Args:
        handler: ``grpc.RpcMethodHandler``.
        method: its name, for people.
    """
    deserialize = handler.request_deserializer

    def read(content: bytes) -> Any:
        try:
            return deserialize(content)
        except DecodeError as err:
            raise BodyCorrupt(
                f"the message has {len(content)} bytes that are not what {method} takes: they are"
                " cut, from another protocol, or have text that is not UTF-8"
            ) from err

    return read
