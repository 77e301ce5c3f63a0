import pytest

from service.errors import KeyRequired, OperationForbidden, ServiceError, SettingsInvalid
from service.guard import Caller, Guard
from service.permissions import Need
from service.settings import Settings

ADMIN = "the-admin-key"
INFERENCE = ("a-client-key", "another-client-key")
EVERYWHERE = "0.0.0.0"  # noqa: S104  # nothing is bound here


def guard_of(**settings):
    return Guard.of(Settings(**settings))


def with_keys(host="127.0.0.1"):
    return guard_of(host=host, admin_key=ADMIN, inference_keys=" ".join(INFERENCE))


def bearer(key):
    return Caller(authorizations=[f"Bearer {key}"], hosts=["example.org"])


def answer(guard, need, caller):
    try:
        guard.check(need, caller)
    except ServiceError as err:
        return type(err)
    return None


LOCAL = Caller(hosts=["127.0.0.1:8000"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_without_a_key_operations_are_open_on_loopback(host):
    guard_of(host=host).check(Need.ADMIN, LOCAL)
    assert guard_of(host=host).rules["admin"] == "open to this machine"


@pytest.mark.parametrize(
    "host", [EVERYWHERE, "::", "10.0.0.1", "192.0.2.1", "example.org", "localhost.evil", ""]
)
def test_without_a_key_operations_are_off_everywhere_else(host):
    guard = guard_of(host=host)
    for caller in (LOCAL, bearer("a-key-of-nothing")):
        with pytest.raises(OperationForbidden, match="NORMSERVE_ADMIN_KEY"):
            guard.check(Need.ADMIN, caller)
    guard.check(Need.INFER, LOCAL)
    guard.check(Need.READ, LOCAL)
    assert guard.rules == {"admin": "off", "inference": "open"}


@pytest.mark.parametrize("host", ["127.0.0.1", EVERYWHERE])
@pytest.mark.parametrize(
    ("need", "caller", "wanted"),
    [
        (Need.OPEN, LOCAL, None),
        (Need.READ, LOCAL, KeyRequired),
        (Need.INFER, LOCAL, KeyRequired),
        (Need.ADMIN, LOCAL, KeyRequired),
        *((need, bearer("a-wrong-key"), KeyRequired) for need in Need if need is not Need.OPEN),
        *((need, bearer(ADMIN), None) for need in Need),
        *((Need.READ, bearer(key), None) for key in INFERENCE),
        *((Need.INFER, bearer(key), None) for key in INFERENCE),
        *((Need.ADMIN, bearer(key), OperationForbidden) for key in INFERENCE),
    ],
)
def test_with_keys_it_is_the_key_that_counts(host, need, caller, wanted):
    assert answer(with_keys(host), need, caller) is wanted


def test_an_admin_key_alone_leaves_inference_open():
    guard = guard_of(admin_key=ADMIN)
    assert answer(guard, Need.INFER, LOCAL) is None
    assert answer(guard, Need.READ, LOCAL) is None
    assert answer(guard, Need.ADMIN, LOCAL) is KeyRequired
    assert guard.rules == {"admin": "with a key", "inference": "open"}


def test_inference_keys_alone_leave_operations_to_this_machine():
    assert answer(guard_of(inference_keys="a-client-key"), Need.ADMIN, LOCAL) is None
    elsewhere = guard_of(inference_keys="a-client-key", host=EVERYWHERE)
    assert answer(elsewhere, Need.ADMIN, bearer("a-client-key")) is OperationForbidden


@pytest.mark.parametrize(
    "authorizations",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [ADMIN],
        [f"Basic {ADMIN}"],
        [f"Bearer{ADMIN}"],
        [f"Bearer {ADMIN} {ADMIN}"],
        [f"Bearer {ADMIN.upper()}"],
        [f"Bearer {ADMIN}", f"Bearer {ADMIN}"],
        ["Bearer a-wrong-key", f"Bearer {ADMIN}"],
        [f"Bearer {ADMIN}, Bearer {ADMIN}"],
    ],
)
def test_a_key_comes_once_and_as_a_bearer(authorizations):
    with pytest.raises(KeyRequired) as refused:
        with_keys().check(Need.ADMIN, Caller(authorizations=authorizations))
    assert ADMIN not in str(refused.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_have_any_case(scheme):
    with_keys().check(Need.ADMIN, Caller(authorizations=[f"{scheme} {ADMIN}"]))


@pytest.mark.parametrize(
    "hosts",
    [
        ["example.org"],
        ["example.org:8000"],
        ["localhost.example.org"],
        ["127.0.0.1.example.org"],
        ["10.0.0.1"],
        [""],
        ["["],
        ["127.0.0.1:8000", "example.org"],
    ],
)
def test_a_name_that_leads_here_by_a_trick_of_dns_opens_nothing(hosts):
    guard = guard_of()
    with pytest.raises(OperationForbidden, match="for the host"):
        guard.check(Need.ADMIN, Caller(hosts=hosts))
    guard.check(Need.INFER, Caller(hosts=hosts))


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LocalHost:80", "[::1]:8000"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_only_the_servers_own_page_may_ask_from_a_browser(host, scheme):
    guard = guard_of()
    guard.check(Need.ADMIN, Caller(hosts=[host], origins=[f"{scheme}://{host}"]))
    for origin in ("null", "", "http://localhost:3000", f"{scheme}://{host}.example.org"):
        with pytest.raises(OperationForbidden, match="web page"):
            guard.check(Need.ADMIN, Caller(hosts=[host], origins=[origin]))
    with pytest.raises(OperationForbidden, match="web page"):
        guard.check(Need.ADMIN, Caller(origins=[f"{scheme}://{host}"]))


def test_what_a_proxy_passes_on_comes_from_anywhere():
    with pytest.raises(OperationForbidden, match="proxy"):
        guard_of().check(Need.ADMIN, Caller(hosts=["localhost"], was_passed_on=True))
    with_keys().check(Need.ADMIN, Caller(authorizations=[f"Bearer {ADMIN}"], was_passed_on=True))


def test_a_key_that_cannot_be_stops_the_server_at_its_start(tmp_path):
    (tmp_path / "key").write_text("short\n")
    for settings in ({"admin_key": "short"}, {"admin_key_file": tmp_path / "key"}):
        with pytest.raises(SettingsInvalid, match="admin_key"):
            guard_of(**settings)


def test_a_key_from_a_file_needs_no_care_about_the_last_line(tmp_path):
    (tmp_path / "key").write_text(f"{ADMIN}\n")
    guard_of(admin_key_file=tmp_path / "key").check(Need.ADMIN, bearer(ADMIN))
