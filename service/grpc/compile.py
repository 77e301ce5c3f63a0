"""Compile the protocol when the package is built (a hatchling build hook). Not used at run time.

The result is a descriptor set, not Python code: it needs no particular version of protobuf, and its
messages live in a pool of their own, so that a client library which brings the same names can be
imported beside it.
"""

import importlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PROTOS = ("grpc_service.proto", "model_config.proto")
_RESULT = "protocol.binpb"


class CompileProtocol(BuildHookInterface[Any]):
    """Writes ``protocol.binpb`` beside the ``.proto`` files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the result to what is built.

        Raises:
            RuntimeError: a ``.proto`` file is wrong.
        """
        protoc = importlib.import_module("grpc_tools.protoc")  # there while the package is built
        folder = Path(self.root) / "service" / "grpc" / "protos"
        arguments = ["protoc", f"-I{folder}", f"--descriptor_set_out={folder / _RESULT}"]
        if protoc.main([*arguments, "--include_imports", *_PROTOS]):
            raise RuntimeError(f"the protocol in '{folder}' does not compile")
        build_data["artifacts"].append(f"service/grpc/protos/{_RESULT}")
