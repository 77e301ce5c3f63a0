"""Bytes to named arrays and back: the only place that knows the wire formats.

Nothing here knows of sockets, headers' spelling, status codes or models beyond their signature.
"""

from service.codec.outline import DecodedRequest, Outlines
from service.codec.reply import EncodedReply, encode_reply
from service.codec.request import decode_raw_request, decode_request

__all__ = [
    "DecodedRequest",
    "EncodedReply",
    "Outlines",
    "decode_raw_request",
    "decode_request",
    "encode_reply",
]
