"""Where a repository may be: a folder of this machine, or a URL. Opens neither."""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["KINDS", "Kind", "read_place"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of store.

    Attributes:
        package: that fsspec needs for it.
        extra: of this package, that brings it.
    """

    package: str
    extra: str


_S3 = Kind("s3fs", "s3")
_GCS = Kind("gcsfs", "gcs")
_AZURE = Kind("adlfs", "azure")
_HTTP = Kind("aiohttp", "http")

KINDS: Final[Mapping[str, Kind]] = {
    "s3": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "az": _AZURE,
    "abfs": _AZURE,
    "http": _HTTP,
    "https": _HTTP,
}
"""By the scheme of the URL."""


def read_place(value: object) -> object:
    """A text with ``://`` in it as a URL, any other as a path; what is no text as it is.

    Raises:
        ValueError: it is a URL, and none that a repository may be at.
    """
    if not isinstance(value, str):
        return value
    return _check_url(value) if "://" in value else Path(value)


def _check_url(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in KINDS:
        known = ", ".join(f"{scheme}://" for scheme in KINDS)
        raise ValueError(f"a repository is a folder, or a URL that begins with {known}")
    if not parts.netloc:
        raise ValueError("the URL of a repository names a bucket, a container or a host")
    if "@" in parts.netloc:
        raise ValueError(
            "the URL of a repository has no credentials in it; give them as the store's own"
            " library takes them, in the environment for instance"
        )
    if parts.query or parts.fragment:
        raise ValueError("the URL of a repository has no '?' and no '#' in it")
    return url.rstrip("/")
