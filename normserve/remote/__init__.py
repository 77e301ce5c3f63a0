"""Asking a running service from the command line, through Triton's own client."""

from normserve.remote.asking import Answer, ask
from normserve.remote.connection import (
    Access,
    access_options,
    connected,
    json_option,
    url_option,
)
from normserve.remote.values import parse_value, read_inputs

__all__ = [
    "Access",
    "Answer",
    "access_options",
    "ask",
    "connected",
    "json_option",
    "parse_value",
    "read_inputs",
    "url_option",
]
