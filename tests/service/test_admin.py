import pytest

from service.admin import AdminGuard
from service.errors import OperationForbidden


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_operations_are_open_on_loopback(host):
    AdminGuard(host=host).require()


@pytest.mark.parametrize(
    "host", ["::", "10.0.0.1", "192.0.2.1", "example.org", "localhost.evil", ""]
)
def test_operations_are_closed_everywhere_else(host):
    with pytest.raises(OperationForbidden, match="open only while it is bound to loopback"):
        AdminGuard(host=host).require()
