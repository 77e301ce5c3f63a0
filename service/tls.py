"""The certificate and key that the server is encrypted with. Binds nothing, knows no transport."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.errors import TlsInvalid
from service.settings import Settings

__all__ = ["Tls"]


@dataclass(frozen=True, slots=True)
class Tls:
    """What TLS needs, in files (PEM) that were looked at.

    Attributes:
        certificate: the server's, and those between it and its root.
        key: its private key.
        client_ca: what must have signed a client's certificate; clients need none if left out.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """What the settings name, if they name anything.

        Raises:
            TlsInvalid: a file is not named, cannot be read or is not what it should be.
        """
        certificate, key = settings.tls_certificate_file, settings.tls_key_file
        client_ca = settings.tls_client_ca_file
        if certificate is None and key is None and client_ca is None:
            return None
        if certificate is None or key is None:
            raise TlsInvalid(
                "TLS needs a certificate and its key: set tls_certificate_file and tls_key_file"
            )
        tls = cls(certificate, key, client_ca)
        tls.context()
        return tls

    def context(self, *, ask_clients: bool = True) -> ssl.SSLContext:
        """The context of a server's connections.

        Args:
            ask_clients: for their certificate, if there is what must have signed it.

        Raises:
            TlsInvalid: a file cannot be read, or is not what it should be.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except (OSError, ValueError) as err:
            raise TlsInvalid(
                f"no TLS with certificate '{self.certificate}' and key '{self.key}': {_said(err)};"
                " both are PEM, belong together, and the key is not encrypted"
            ) from err
        if self.client_ca is not None and ask_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self.client_ca)
            except (OSError, ValueError) as err:
                raise TlsInvalid(
                    f"no client certificates with '{self.client_ca}': {_said(err)}; it is PEM"
                ) from err
        return context


def _said(error: OSError | ValueError) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)
