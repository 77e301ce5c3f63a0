"""Is every file of a bundle the one that its exporter wrote?

Explained in ``docs/checks/digests.md``.
"""

from bundle import DigestMismatch, Finding, ManifestInvalid, read_bundle
from normserve.validate.ondisk import OnDisk

__all__ = ["NAME", "check"]

NAME = "digests"


def check(on_disk: OnDisk) -> Finding | tuple[()]:
    """Read the manifest and hold every file of the folder against its digest."""
    folder = on_disk.target.folder
    if folder is None:
        return ()
    if not on_disk.target.has_manifest:
        return _finding("not_applicable", "there is no manifest to hold the files against")
    try:
        # its names are the folder's own, which a relative path such as "." does not have
        bundle = read_bundle(folder.resolve())
    except (ManifestInvalid, DigestMismatch) as err:
        return _finding(
            "fail",
            str(err),
            remedy="export the model again, or restore the folder as it was; do not serve it so",
        )
    count = len(bundle.manifest.files)
    return _finding("pass", f"each of {count} files is the one that the manifest was written for")


def _finding(status: str, meaning: str, remedy: str = "") -> Finding:
    return Finding(
        check=NAME, status=status, measured=None, tolerance=None, meaning=meaning, remedy=remedy
    )
