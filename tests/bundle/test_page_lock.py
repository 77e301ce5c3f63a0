import ctypes

from bundle.page_lock import CudaDriver, PageLockedBuffer


class Library:
    """CUDA's driver library, whose calls end with given statuses."""

    def __init__(self, **statuses):
        self.statuses = statuses
        self.calls = []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append((name, [getattr(a, "value", a) for a in arguments]))
            return self.statuses.get(name, 0)

        return call

    @property
    def names(self):
        return [name for name, _ in self.calls]


def test_pages_are_locked_in_the_context_of_the_device_and_let_go():
    library = Library()
    buffer = PageLockedBuffer(10, CudaDriver(library, number=0))
    assert buffer.is_locked
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer.memory))
    assert library.names == [
        "cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent",
        "cuMemHostRegister_v2",
    ]  # fmt: skip
    assert library.calls[-1] == ("cuMemHostRegister_v2", [address, len(buffer), 1])
    del buffer
    assert library.calls[-1] == ("cuMemHostUnregister", [address])


def test_memory_that_cannot_be_locked_is_ordinary_memory():
    library = Library(cuDevicePrimaryCtxRetain=100)
    buffer = PageLockedBuffer(10, CudaDriver(library, number=0))
    assert not buffer.is_locked
    assert "cuMemHostRegister_v2" not in library.names
    del buffer
    assert "cuMemHostUnregister" not in library.names


def test_without_a_driver_it_is_ordinary_memory_of_whole_pages():
    buffer = PageLockedBuffer(1, None)
    assert not buffer.is_locked
    assert len(buffer) % 4096 == 0
