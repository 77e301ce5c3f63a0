"""Who may do what: the one place that decides it, for every transport.

What an operation needs is `service.permissions`'s; a transport finds that out, tells here what its
client showed, and does nothing where this raises.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from service.errors import KeyRequired, OperationForbidden, excerpt
from service.keys import KeySet, read_keys
from service.permissions import Need
from service.settings import Settings

__all__ = ["PASSED_ON_BY", "Caller", "Guard"]

PASSED_ON_BY: Final = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
"""The headers that proxies leave: what comes through one comes from anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a client showed of itself, as far as the guard looks at it.

    Attributes:
        authorizations: each ``Authorization``.
        hosts: each ``Host``; none over gRPC.
        origins: each ``Origin``: the web page that asks; none where no browser does.
        was_passed_on: whether a proxy says that it did.
    """

    authorizations: Sequence[str] = ()
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    was_passed_on: bool = False


class Guard:
    """Lets callers through, or not.

    Args:
        host: the address that the server is bound to.
        admin: the key for operations that need it.
        inference: the keys for the others.
    """

    def __init__(self, *, host: str, admin: KeySet, inference: KeySet) -> None:
        self._host = host
        self._admin = admin
        self._inference = inference
        self._open = frozenset(
            need for need in Need if need is not Need.ADMIN and not self.wants_key(need)
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The guard that the settings describe.

        Raises:
            SettingsInvalid: a key cannot be.
        """
        return cls(
            host=settings.host,
            admin=read_keys(settings.admin_key, settings.admin_key_file, setting="admin_key"),
            inference=read_keys(
                settings.inference_keys, settings.inference_keys_file, setting="inference_keys"
            ),
        )

    @property
    def rules(self) -> dict[str, str]:
        """What holds, for the log."""
        without = "open to this machine" if _is_loopback(self._host) else "off"
        return {
            "admin": "with a key" if self._admin else without,
            "inference": "with a key" if self._inference else "open",
        }

    def wants_key(self, need: Need) -> bool:
        """Whether it is a key that decides."""
        if need is Need.ADMIN:
            return bool(self._admin)
        return need is not Need.OPEN and bool(self._inference)

    def lets_everybody(self, need: Need) -> bool:
        """Whether there is nothing to look at."""
        return need in self._open

    def check(self, need: Need, caller: Caller) -> None:
        """Let a caller through.

        Raises:
            KeyRequired: it shows no key, or none that is known.
            OperationForbidden: it may not have this: with this key, or from there.
        """
        if self.lets_everybody(need):
            return
        if not self.wants_key(need):
            self._check_local(caller)
            return
        key = _key(caller)
        is_admin, is_known = key in self._admin, key in self._inference
        if not (is_admin or is_known):
            raise KeyRequired("the key that was sent is none that this server knows")
        if need is Need.ADMIN and not is_admin:
            raise OperationForbidden("this key is for inference; the operation needs the admin key")

    def _check_local(self, caller: Caller) -> None:
        """What holds while there is no admin key. Web pages come from this machine too."""
        if not _is_loopback(self._host):
            raise OperationForbidden(
                f"this server is bound to {self._host}; operations are open only while it is bound"
                " to loopback, or with a key: set NORMSERVE_ADMIN_KEY or NORMSERVE_ADMIN_KEY_FILE"
            )
        if caller.was_passed_on:
            raise _not_local("a proxy passed this request on")
        for host in caller.hosts:
            if not _is_loopback(_name(host)):
                raise _not_local(f"this request is for the host {excerpt(host)}")
        own = {f"{scheme}://{host}" for scheme in ("http", "https") for host in caller.hosts}
        for origin in caller.origins:
            if origin not in own:
                raise _not_local(f"a web page of {excerpt(origin)} made this request")


def _not_local(what: str) -> OperationForbidden:
    return OperationForbidden(
        f"{what}; while no admin key is set, operations are open only to programs on this machine"
        " (NORMSERVE_ADMIN_KEY or NORMSERVE_ADMIN_KEY_FILE sets one)"
    )


def _key(caller: Caller) -> str:
    match caller.authorizations:
        case [authorization]:
            scheme, _, key = authorization.partition(" ")
            if scheme.lower() == "bearer" and key.strip():
                return key.strip()
            raise KeyRequired("the Authorization that was sent is not 'Bearer KEY'")
        case []:
            raise KeyRequired("this needs a key: send it as 'Authorization: Bearer KEY'")
        case several:
            raise KeyRequired(f"one Authorization is wanted; {len(several)} were sent")


def _name(host: str) -> str:
    """The name or address in a ``Host``, without the port; empty where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"
