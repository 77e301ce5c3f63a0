import inspect

import pytest

from service import errors
from service.errors import HelperError, LoadFailed, ServiceError, StartupError, excerpt
from service.http.errors import STATUSES, status_of

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, ServiceError)
]
NEVER_SENT = (StartupError, LoadFailed, HelperError)


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_that_a_client_can_meet_has_a_status_of_its_own_or_its_parents(error):
    status = status_of(error)
    if error is not ServiceError and not issubclass(error, NEVER_SENT):
        assert status != STATUSES[ServiceError]
        assert 400 <= status < 600


def test_every_error_is_exported_and_drawn_in_the_tree():
    assert {error.__name__ for error in CLASSES} <= set(errors.__all__)
    assert all(error.__name__ in errors.__doc__ for error in CLASSES)


def test_every_entry_of_the_table_is_an_error():
    assert set(STATUSES) <= set(CLASSES)


@pytest.mark.parametrize("value", ["x" * 10_000, b"x" * 10_000, list(range(10_000)), 10**200])
def test_a_clients_value_is_never_longer_than_a_line(value):
    assert len(excerpt(value)) <= 83
