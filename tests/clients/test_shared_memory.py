"""System shared memory by Triton's own client, over both transports, with a server process.

The regions are made by the module that the client brings for it. The attacks are on a server that
must still answer afterwards; the block that serves fails if its process has died.
"""

import os
import re
import threading
from contextlib import ExitStack, contextmanager
from multiprocessing import shared_memory as posix
from pathlib import Path
from types import ModuleType

import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, serialize_byte_tensor
from tritonclient.utils import shared_memory as regions

from bundle import Datatype
from tests.clients.process import ROOT, served
from tests.service import tiny

MEMORY = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects
KEY = f"/normserve-test-{os.getpid()}"
INT32 = np.dtype(np.int32)


@pytest.fixture(scope="module")
def sharing(tmp_path_factory):
    repository = tmp_path_factory.mktemp("sharing")
    for datatype in Datatype:
        tiny.write_plain(repository, f"identity-{datatype.lower()}", tiny.identity(datatype))
    tiny.write_plain(repository, "add", tiny.add_and_subtract())
    tiny.write_plain(repository, "double", tiny.scale(2.0))
    with served(repository, client_shared_memory=True, max_request_bytes=2**22) as running:
        yield running


class Client:
    """One of Triton's clients, with those differences gone that have nothing to do with memory."""

    def __init__(self, module: ModuleType, address: str) -> None:
        self.module = module
        self.asked = module.InferenceServerClient(address)

    @property
    def is_grpc(self):
        return self.module is tritonclient.grpc

    def register(self, name, key, byte_size, offset=0):
        self.asked.register_system_shared_memory(name, key, byte_size, offset)

    def unregister(self, name=""):
        self.asked.unregister_system_shared_memory(name)

    def status(self, name=""):
        told = self.asked.get_system_shared_memory_status(name)
        if not self.is_grpc:
            return told
        return [
            {"name": r.name, "key": r.key, "offset": r.offset, "byte_size": r.byte_size}
            for r in told.regions.values()
        ]

    def input(self, name, shape, datatype, *, at=None, array=None):
        tensor = self.module.InferInput(name, shape, datatype)
        if at is None:
            tensor.set_data_from_numpy(array)
        else:
            tensor.set_shared_memory(*at)
        return tensor

    def output(self, name, *, at=None):
        output = self.module.InferRequestedOutput(name)
        if at is not None:
            output.set_shared_memory(*at)
        return output

    def infer(self, model, inputs, outputs=None):
        return self.asked.infer(model, inputs, outputs=outputs)

    def told(self, reply, name):
        """The parameters of an output, and whether its data came with the reply."""
        output = reply.get_output(name)
        if not self.is_grpc:
            carried = "data" in output or "binary_data_size" in output["parameters"]
            return output["parameters"], carried
        place = [each.name for each in reply.get_response().outputs].index(name)
        parameters = {
            key: getattr(value, value.WhichOneof("parameter_choice"))
            for key, value in output.parameters.items()
        }
        return parameters, bool(reply.get_response().raw_output_contents[place])


@pytest.fixture(params=["http", "grpc"])
def client(request, sharing):
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[request.param]
    made = Client(module, getattr(sharing, request.param))
    with made.asked:
        yield made
        made.unregister()
        assert made.status() == []


@contextmanager
def shared(name, byte_size):
    """A region of its own, as the client's module makes it."""
    handle = regions.create_shared_memory_region(name, KEY, byte_size)
    try:
        yield handle
    finally:
        regions.destroy_shared_memory_region(handle)


@contextmanager
def memory(content, name=KEY):
    """A shared memory object with these bytes in it, which a test may cut or remove."""
    path = MEMORY / name.removeprefix("/")
    path.write_bytes(content)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def refused(action, *arguments):
    with pytest.raises(InferenceServerException) as caught:
        action(*arguments)
    return caught.value


def test_the_example_in_the_docs_does_what_it_says(sharing, capsys):
    page = (ROOT / "docs" / "shared-memory.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example.replace("localhost:8000", sharing.http), {})  # noqa: S102  # of our own docs
    assert capsys.readouterr().out == "[[2. 4.]]\n"


def test_the_extension_is_told(sharing):
    assert "system_shared_memory" in httpx.get(f"{sharing.url}/v2").json()["extensions"]
    with tritonclient.grpc.InferenceServerClient(sharing.grpc) as asked:
        assert "system_shared_memory" in asked.get_server_metadata().extensions


@pytest.mark.parametrize("datatype", Datatype, ids=str)
def test_every_datatype_goes_there_and_back_bit_for_bit(client, datatype):
    if datatype is Datatype.BYTES:
        sent = np.array([[b"\xff\0", b"", b"abc"]], object)
        content = serialize_byte_tensor(sent)
    else:
        values = [True, False, True] if datatype is Datatype.BOOL else [1, 2, 3]
        sent = content = np.array([values]).astype(datatype.numpy)
    size = 17 if datatype is Datatype.BYTES else sent.nbytes
    with shared("both", 2 * size) as handle:
        regions.set_shared_memory_region(handle, [content])
        client.register("both", KEY, 2 * size)
        reply = client.infer(
            f"identity-{datatype.lower()}",
            [client.input("x", [1, 3], datatype.value, at=("both", size))],
            [client.output("y", at=("both", size, size))],
        )
        lies = (MEMORY / KEY.removeprefix("/")).read_bytes()
        assert lies[:size] == lies[size : 2 * size]
        parameters, carried = client.told(reply, "y")
        assert not carried
        assert parameters == {
            "shared_memory_region": "both",
            "shared_memory_byte_size": size,
            "shared_memory_offset": size,
        }
        dtype = np.object_ if datatype is Datatype.BYTES else sent.dtype
        got = regions.get_contents_as_numpy(handle, dtype, [1, 3], offset=size)
        assert got.tolist() == sent.tolist()
        del got


def test_tensors_in_memory_and_in_the_message_share_a_request(client):
    a, b = np.array([[5, 6]], np.int32), np.array([[1, 2]], np.int32)
    with shared("in", 8) as handle, ExitStack() as stack:
        out = stack.enter_context(memory(bytes(64), KEY + "-out"))
        regions.set_shared_memory_region(handle, [b])
        client.register("in", KEY, 8)
        client.register("out", KEY + "-out", 32, 16)
        for order in ("ab", "ba"):
            tensors = {
                "a": client.input("a", [1, 2], "INT32", array=a),
                "b": client.input("b", [1, 2], "INT32", at=("in", 8)),
            }
            reply = client.infer(
                "add",
                [tensors[name] for name in order],
                [client.output("m", at=("out", 16, 8)), client.output("z")],
            )
            assert reply.as_numpy("z").tolist() == [[6, 8]]
            # behind the region's own offset of 16 and the tensor's of 8; the rest is untouched
            assert np.frombuffer(out.read_bytes(), INT32)[4:10].tolist() == [0, 0, 4, 4, 0, 0]
            assert client.told(reply, "m")[0]["shared_memory_byte_size"] == 8
            out.write_bytes(bytes(64))


def test_an_input_is_what_it_was_when_it_was_asked(client):
    with shared("in", 12) as handle:
        client.register("in", KEY, 12)
        for value in (1, 2):
            sent = np.full((1, 3), value, np.float32)
            regions.set_shared_memory_region(handle, [sent])
            tensor = client.input("x", [1, 3], "FP32", at=("in", 12))
            assert (client.infer("identity-fp32", [tensor]).as_numpy("y") == value).all()


def test_an_empty_tensor_takes_no_bytes(client):
    with shared("some", 4):
        client.register("some", KEY, 4)
        tensor = client.input("x", [0, 3], "FP32", at=("some", 0, 4))
        reply = client.infer("identity-fp32", [tensor], [client.output("y", at=("some", 4))])
        assert client.told(reply, "y")[0]["shared_memory_byte_size"] == 0


def test_a_tensor_of_megabytes_goes_there_and_back(client):
    sent = np.arange(300_000, dtype=np.float32).reshape(-1, 3)
    with shared("large", 2 * sent.nbytes) as handle:
        regions.set_shared_memory_region(handle, [sent])
        client.register("large", KEY, 2 * sent.nbytes)
        client.infer(
            "identity-fp32",
            [client.input("x", list(sent.shape), "FP32", at=("large", sent.nbytes))],
            [client.output("y", at=("large", sent.nbytes, sent.nbytes))],
        )
        got = regions.get_contents_as_numpy(handle, np.float32, sent.shape, offset=sent.nbytes)
        assert (got == sent).all()
        del got


def test_regions_are_listed_and_forgotten(client):
    with shared("one", 16):
        client.register("one", KEY, 8, 8)
        client.register("two", KEY.removeprefix("/"), 16)
        one = {"name": "one", "key": KEY, "offset": 8, "byte_size": 8}
        assert client.status("one") == [one]
        assert sorted(region["name"] for region in client.status()) == ["one", "two"]
        client.unregister("one")
        client.unregister("one")  # is no error, as in Triton
        assert [region["name"] for region in client.status()] == ["two"]
        error = refused(client.status, "one")
        assert "no shared memory region 'one'" in error.message()
        assert error.status() in ("404", "StatusCode.NOT_FOUND")


def test_a_name_is_taken_once(client):
    with shared("one", 8):
        client.register("one", KEY, 8)
        error = refused(client.register, "one", KEY, 8)
        assert "registered already" in error.message()
        assert error.status() in ("400", "StatusCode.ALREADY_EXISTS")


def test_an_object_stays_for_those_who_registered_it_when_its_name_is_gone(client):
    with memory(np.ones(3, np.float32).tobytes()) as path:
        client.register("in", KEY, 12)
        path.unlink()
        tensor = client.input("x", [1, 3], "FP32", at=("in", 12))
        assert client.infer("identity-fp32", [tensor]).as_numpy("y").tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("size", [0, 4, 8])
def test_an_object_that_is_cut_after_it_was_registered_is_refused(client, size):
    tensor = client.input("x", [1, 3], "FP32", at=("cut", 12))
    array = np.ones((1, 3), np.float32)
    with memory(array.tobytes()) as path:
        client.register("cut", KEY, 12)
        os.truncate(path, size)
        assert (
            f"has {size} bytes; 12 are"
            in refused(client.infer, "identity-fp32", [tensor]).message()
        )
        output = client.output("y", at=("cut", 12))
        inline = client.input("x", [1, 3], "FP32", array=array)
        assert "12 are" in refused(client.infer, "identity-fp32", [inline], [output]).message()
        assert path.stat().st_size == size  # nothing has grown it
        os.truncate(path, 12)
        assert client.infer("identity-fp32", [tensor]).as_numpy("y").tolist() == [[0, 0, 0]] or size


def test_a_server_outlives_an_object_that_is_cut_again_and_again(client):
    rows, size = 50_000, 600_000
    full = np.ones((rows, 3), np.float32)
    with memory(bytes(2 * size)) as path:
        client.register("cut", KEY, 2 * size)
        stop = threading.Event()

        def cut():
            while not stop.is_set():
                for length in (0, size // 2, size, 2 * size):
                    os.truncate(path, length)

        cutting = threading.Thread(target=cut)
        cutting.start()
        try:
            answered = refusals = 0
            while answered + refusals < 200:
                inputs = [client.input("x", [rows, 3], "FP32", at=("cut", size))]
                outputs = [client.output("y", at=("cut", size, size))]
                try:
                    client.infer("identity-fp32", inputs, outputs)
                    answered += 1
                except InferenceServerException as error:
                    assert "bytes;" in error.message()  # noqa: PT017  # either may happen
                    refusals += 1
        finally:
            stop.set()
            cutting.join()
    inline = client.input("x", [rows, 3], "FP32", array=full)
    assert (client.infer("identity-fp32", [inline]).as_numpy("y") == full).all()


def test_an_output_that_does_not_fit_is_refused_and_nothing_is_written(client):
    a = np.array([[5, 6]], np.int32)
    with memory(b"\xaa" * 16) as path:
        client.register("out", KEY, 16)
        inputs = [client.input(name, [1, 2], "INT32", array=a) for name in "ab"]
        outputs = [client.output("z", at=("out", 8)), client.output("m", at=("out", 7, 8))]
        error = refused(client.infer, "add", inputs, outputs)
        assert "7 bytes of shared memory region 'out' are for an output of 8" in error.message()
        assert path.read_bytes() == b"\xaa" * 16


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (("in", 12, 1), "has 12 bytes; 12 from 1 on go past its end"),
        (("in", 13), "has 12 bytes; 13 from 0 on"),
        (("in", 2**62, 2**62), "go past its end"),
        (("in", -1), "'shared_memory_byte_size' must be a number of bytes"),
        (("in", 12, -1), "'shared_memory_offset' must be a number of bytes"),
        (("in", 11), "has 11 bytes of binary data; FP32 of shape (1, 3) wants 12"),
        (("in", 0), "has 0 bytes of binary data"),
        (("nowhere", 12), "no shared memory region 'nowhere'"),
        (("", 12), "no shared memory region ''"),
    ],
)
def test_an_input_that_is_not_there_is_refused(client, at, says):
    with shared("in", 24):
        client.register("in", KEY, 12)
        tensor = client.input("x", [1, 3], "FP32", at=at)
        assert says in refused(client.infer, "identity-fp32", [tensor]).message()


def test_inputs_in_memory_are_held_to_the_size_of_a_request(client):
    with memory(b"") as path:
        os.truncate(path, 2**40)  # takes no memory
        client.register("vast", KEY, 2**40)
        tensor = client.input("x", [2**38 // 3, 3], "FP32", at=("vast", 2**38 // 3 * 12))
        error = refused(client.infer, "identity-fp32", [tensor])
        assert "this server takes 4194304" in error.message()
        assert error.status() in ("413", "StatusCode.RESOURCE_EXHAUSTED")


def linked(name):
    target = MEMORY / f"{name}-target"
    target.write_bytes(bytes(64))
    (MEMORY / name).symlink_to(target)


OBSTACLES = {
    "link": linked,
    "link to a file": lambda name: (MEMORY / name).symlink_to("/etc/passwd"),
    "pipe": lambda name: os.mkfifo(MEMORY / name),
    "folder": lambda name: (MEMORY / name).mkdir(),
    "device": lambda name: os.mknod(MEMORY / name, 0o20666, os.makedev(1, 3)),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_is_no_memory_is_refused(client, obstacle):
    name = KEY.removeprefix("/")
    path = MEMORY / name
    if obstacle == "device" and os.getuid():
        obstacle = "pipe"  # only root makes devices
    try:
        OBSTACLES[obstacle](name)
        error = refused(client.register, "bad", KEY, 8)
        assert error.status() in ("400", "StatusCode.INVALID_ARGUMENT")
        assert repr(KEY) in error.message()
        assert str(MEMORY) not in error.message()
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        (MEMORY / f"{name}-target").unlink(missing_ok=True)


@pytest.mark.parametrize(
    "key",
    [
        "../etc/passwd",
        "/../etc/passwd",
        "/etc/passwd",
        "//etc",
        "/a/b",
        "/",
        "",
        ".",
        "..",
        "/..",
        "a\0b",
        "/no-such-object",
        "x" * 256,
        "é" * 128,
        "x" * 100_000,
    ],
    ids=lambda key: ascii(key[:20]),
)
def test_a_key_that_names_no_object_is_refused(client, key):
    error = refused(client.register, "bad", key, 8)
    assert error.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    assert len(error.message()) < 400


@pytest.mark.parametrize(
    ("byte_size", "offset", "says"),
    [
        (17, 0, "has 16 bytes; 17 are wanted"),
        (16, 1, "has 16 bytes; 17 are wanted"),
        (2**63, 2**63, "has 16 bytes; 18446744073709551616 are wanted"),
        (0, 0, "has a byte_size of 0"),
    ],
)
def test_a_region_beyond_its_object_is_refused(client, byte_size, offset, says):
    with shared("mine", 16):
        assert says in refused(client.register, "mine", KEY, byte_size, offset).message()


def test_regions_are_bounded_in_number(client):
    with shared("mine", 16):
        for number in range(256):
            client.register(f"region {number}", KEY, 16)
        assert "as many as may be" in refused(client.register, "one more", KEY, 16).message()
        client.unregister("region 7")
        client.register("one more", KEY, 16)


def test_cuda_memory_is_not_there(client):
    told = client.asked.get_cuda_shared_memory_status()
    assert not (told.regions if client.is_grpc else told)
    client.asked.unregister_cuda_shared_memory()
    client.asked.unregister_cuda_shared_memory("gpu")
    error = refused(client.asked.register_cuda_shared_memory, "gpu", "aGFuZGxl", 0, 8)
    assert "no CUDA shared memory" in error.message()
    assert error.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    assert "'gpu'" in refused(client.asked.get_cuda_shared_memory_status, "gpu").message()


def test_memory_is_shared_between_the_processes(client):
    """With the standard library's own objects, which the client's module wraps."""
    memory = posix.SharedMemory(create=True, size=24)
    try:
        client.register("plain", memory.name, 24)
        memory.buf[:6] = np.array([1, 2, 3], ml_dtypes.bfloat16).tobytes()
        client.infer(
            "identity-bf16",
            [client.input("x", [1, 3], "BF16", at=("plain", 6))],
            [client.output("y", at=("plain", 12, 12))],
        )
        assert bytes(memory.buf[12:18]) == bytes(memory.buf[:6])
    finally:
        memory.close()
        memory.unlink()
