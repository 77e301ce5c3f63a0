"""What can be wrong with a bundle. Not for: how a transport tells it.

::

    BundleError
    ├── UnsupportedDatatype   a tensor type that the protocol has no name for
    ├── ManifestInvalid       manifest.json is missing, unreadable or contradicts the folder
    ├── DigestMismatch        a file is not the one that the manifest was written for
    ├── SamplesInvalid        a golden sample is unreadable or does not fit the model
    ├── ModelInvalid          ONNX Runtime or the ONNX checker refuses the model file
    ├── InputInvalid          the model cannot compute what it was given
    ├── RunFailed             the model failed for a reason that is not its input
    ├── RunInterrupted        the run was ended from outside
    ├── ProviderUnavailable   an execution provider that is required is not on this machine
    ├── PlacementRefused      a node that must run on the required provider would not
    └── BundleExists          that version is in the repository already
"""

__all__ = [
    "BundleError",
    "BundleExists",
    "DigestMismatch",
    "InputInvalid",
    "ManifestInvalid",
    "ModelInvalid",
    "PlacementRefused",
    "ProviderUnavailable",
    "RunFailed",
    "RunInterrupted",
    "SamplesInvalid",
    "UnsupportedDatatype",
]


class BundleError(Exception):
    """The root of the tree: its message is a full sentence for a person."""


class UnsupportedDatatype(BundleError):
    """A tensor type that the Open Inference Protocol has no name for."""


class ManifestInvalid(BundleError):
    """``manifest.json`` is missing, unreadable or contradicts the folder it lies in."""


class DigestMismatch(BundleError):
    """A file of the bundle is missing or not the one that the manifest was written for."""


class SamplesInvalid(BundleError):
    """A golden sample cannot be read or does not fit the model's tensors."""


class ModelInvalid(BundleError):
    """The model file is no model that ONNX Runtime can open."""


class InputInvalid(BundleError):
    """The model cannot compute what it was given: a wrong name, type, shape or value."""


class RunFailed(BundleError):
    """The model failed while it ran, for a reason that is not its input (memory, device …)."""


class RunInterrupted(BundleError):
    """The run was ended from outside, before it was over."""


class ProviderUnavailable(BundleError):
    """An execution provider that the policy requires is not on this machine."""


class PlacementRefused(BundleError):
    """A node that must run on the provider that is required would run on another."""


class BundleExists(BundleError):
    """The version is in the repository already and replacing it was not asked for."""
