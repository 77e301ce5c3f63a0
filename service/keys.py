"""The keys that clients show: where they come from, and whether one is among them. Decides nothing.

No key is ever in a message, a log line or a `repr`; what is kept of it is its digest.
"""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from pydantic import SecretStr

from service.errors import SettingsInvalid

__all__ = ["KeySet", "read_keys"]

_KEY = re.compile(r"[!-+\--~]{8,512}")  # no comma: that separates keys
_SEPARATORS = re.compile(r"[,\s]+")


class KeySet:
    """Keys, by their digests. Empty where there are none."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(sha256(key.encode()).digest() for key in keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, given: str) -> bool:
        """Whether a client's key is one of these; takes as long whichever it is, or none."""
        digest = sha256(given.encode(errors="surrogatepass")).digest()
        return any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419  # all


def read_keys(value: SecretStr | None, file: Path | None, *, setting: str) -> KeySet:
    """The keys of a setting, or of the file that it can name instead.

    Args:
        value: keys, separated by commas or blanks.
        file: with keys in it, separated so or by lines.
        setting: what the value is called; the file is ``<setting>_file``.

    Raises:
        SettingsInvalid: both are given, the file cannot be read, or something in it is no key.
    """
    if value is not None and file is not None:
        raise SettingsInvalid(f"{setting} and {setting}_file are both set; leave one of them out")
    if file is not None:
        try:
            text = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as err:
            reason = err.strerror if isinstance(err, OSError) else "it is not ASCII text"
            raise SettingsInvalid(f"{setting}_file: '{file}' cannot be read: {reason}") from err
        setting = f"{setting}_file"
    elif value is not None:
        text = value.get_secret_value()
    else:
        return KeySet()
    keys = [key for key in _SEPARATORS.split(text) if key]
    if not keys or not all(map(_KEY.fullmatch, keys)):
        raise SettingsInvalid(
            f"{setting}: a key is 8 to 512 visible ASCII characters without commas;"
            " `openssl rand -hex 32` makes a good one"
        )
    return KeySet(keys)
