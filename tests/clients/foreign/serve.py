"""Serves the test models until its input ends; says where, in one line of JSON."""

import json
import sys
import tempfile
from pathlib import Path

from tests.clients import networks
from tests.clients.process import served


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        networks.write_all(Path(folder))
        with served(Path(folder)) as server:
            print(json.dumps({"url": server.url, "http": server.http, "grpc": server.grpc}))  # noqa: T201 - the answer
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    main()
