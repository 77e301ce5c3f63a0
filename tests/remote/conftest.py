"""A real S3 server on this machine, and repositories in its buckets."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class Bucket:
    """A bucket of the test's own, with a folder of this machine as what is put into it."""

    client: object
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/models"

    def put(self, folder: Path) -> None:
        """Every file of a repository, as it is now."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(path.relative_to(folder).as_posix(), path.read_bytes())

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"models/{key}", Body=content)

    def remove(self, prefix: str) -> None:
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=f"models/{prefix}")
        for each in found.get("Contents", []):
            self.client.delete_object(Bucket=self.name, Key=each["Key"])


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its address, with the environment of a client that may use it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return s3_server


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> Bucket:
    client = boto3.client("s3", endpoint_url=s3)
    name = f"b{abs(hash(request.node.nodeid))}"
    client.create_bucket(Bucket=name)
    return Bucket(client, name)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server that lists its folders: its address, and what it serves."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    """Gives nobody the files that are called ``refused``, though it says that they are there."""

    def do_GET(self) -> None:
        if self.path.endswith("/refused"):
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""
