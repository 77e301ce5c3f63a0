"""Everything that can go wrong while serving. Not for: how a transport tells it.

Each transport has its own table from these classes to its status, looked up along the class's
method resolution order, so that a class without an entry of its own is told like its parent.

::

    ServiceError
    ├── StartupError              the server cannot start; never seen by a client
    │   ├── SettingsInvalid       a setting is unknown or has a value that cannot be
    │   ├── RepositoryMissing     the model repository is no folder
    │   ├── AddressUnavailable    the address cannot be bound
    │   ├── ProviderMissing       the execution provider that is required is not on this machine
    │   └── TlsInvalid            a certificate or key is missing, or they do not belong together
    ├── RequestInvalid            the client's fault: the same request will fail again
    │   ├── JsonInvalid           the text is no JSON object, or its fields have the wrong types
    │   ├── TensorInvalid         a tensor's data contradict its datatype or its shape
    │   ├── InputMismatch         the inputs are not those that the model declares
    │   ├── OutputUnknown         an output is asked for that the model does not have
    │   ├── ParameterInvalid      a parameter has the wrong type or is not offered here
    │   ├── NotJsonRepresentable  an output that JSON cannot carry was asked for as JSON
    │   ├── InferenceRefused      the model cannot compute with these values
    │   ├── RegionExists          a shared memory region of that name is registered already
    │   ├── RegionInvalid         a shared memory region cannot be what it is said to be
    │   ├── BodyCorrupt           the request's body is not what its headers say
    │   ├── BodyTooLarge          the request's body is over the limit
    │   └── EncodingUnsupported   the body's content coding is not one that is understood
    ├── NotFound                  there is no such thing here
    │   ├── ModelUnknown
    │   ├── RegionUnknown
    │   ├── RepositoryUnknown     the one repository that there is has no name
    │   └── VersionUnknown
    ├── NotReady                  there is, but it cannot answer now
    │   ├── ServerNotReady        models are still loading, or one could not be loaded
    │   ├── ModelNotReady         loading, failed to load, or unloading
    │   ├── Overloaded            as many requests are waiting as may
    │   ├── TimeoutExpired        the request's own time was over before it was computed
    │   ├── RequestQuarantined    the model's process ended twice while it computed these inputs
    │   └── EngineFailed          what computes the model is not there
    │       └── RunLost           a run ended without an answer; asked again once, unseen
    ├── KeyRequired               no key was sent, or none that is known
    ├── OperationForbidden        it may not be asked for from there, or with this key
    ├── LoadFailed                a model cannot be served; the reason goes to the registry
    └── HelperError               what runs beside the server gave nothing; never seen by a client
        ├── HelperRefused         it cannot be done
        └── HelperFailed          the process ended, took too long, or met a bug
"""

import reprlib

__all__ = [
    "AddressUnavailable",
    "BodyCorrupt",
    "BodyTooLarge",
    "EncodingUnsupported",
    "EngineFailed",
    "HelperError",
    "HelperFailed",
    "HelperRefused",
    "InferenceRefused",
    "InputMismatch",
    "JsonInvalid",
    "KeyRequired",
    "LoadFailed",
    "ModelNotReady",
    "ModelUnknown",
    "NotFound",
    "NotJsonRepresentable",
    "NotReady",
    "OperationForbidden",
    "OutputUnknown",
    "Overloaded",
    "ParameterInvalid",
    "ProviderMissing",
    "RegionExists",
    "RegionInvalid",
    "RegionUnknown",
    "RepositoryMissing",
    "RepositoryUnknown",
    "RequestInvalid",
    "RequestQuarantined",
    "RunLost",
    "ServerNotReady",
    "ServiceError",
    "SettingsInvalid",
    "StartupError",
    "TensorInvalid",
    "TimeoutExpired",
    "TlsInvalid",
    "VersionUnknown",
    "excerpt",
]

_EXCERPT_CHARACTERS = 80

_SHORTENED = reprlib.Repr()
"""A client may nest a value deeper than `repr` can follow."""
_SHORTENED.maxlist = _SHORTENED.maxtuple = _SHORTENED.maxdict = _EXCERPT_CHARACTERS


def excerpt(value: object) -> str:
    """A client's value for a message: quoted as Python does, and never longer than a line."""
    if isinstance(value, str | bytes):
        text = repr(value[:_EXCERPT_CHARACTERS])
    else:
        text = _SHORTENED.repr(value)
    return text if len(text) <= _EXCERPT_CHARACTERS else f"{text[: _EXCERPT_CHARACTERS - 1]}…"


class ServiceError(Exception):
    """The root of the tree: its message is for the person who reads the reply or the log."""


class StartupError(ServiceError):
    """The server cannot start."""


class SettingsInvalid(StartupError):
    """A setting is unknown or has a value that cannot be."""


class RepositoryMissing(StartupError):
    """The model repository is not a folder that can be read."""


class AddressUnavailable(StartupError):
    """The address cannot be bound: in use, not this machine's, or not allowed."""


class ProviderMissing(StartupError):
    """The execution provider that the policy requires is not on this machine."""


class TlsInvalid(StartupError):
    """A certificate or key for TLS is missing, or they do not belong together."""


class RequestInvalid(ServiceError):
    """The request is wrong, and sending it again will not help."""


class JsonInvalid(RequestInvalid):
    """The text is no JSON object, or one of its fields is missing or has the wrong type."""


class TensorInvalid(RequestInvalid):
    """A tensor's data contradict its datatype or its shape."""


class InputMismatch(RequestInvalid):
    """The inputs' names, datatypes or shapes are not those that the model declares."""


class OutputUnknown(RequestInvalid):
    """An output is asked for that the model does not have."""


class ParameterInvalid(RequestInvalid):
    """A parameter has the wrong type, contradicts another, or asks for what is not offered."""


class NotJsonRepresentable(RequestInvalid):
    """JSON was asked for and cannot carry it: half precision, NaN, bytes that are no text."""


class InferenceRefused(RequestInvalid):
    """The model cannot compute with these values, an index out of range for instance."""


class RegionExists(RequestInvalid):
    """A shared memory region of that name is registered already."""


class RegionInvalid(RequestInvalid):
    """A shared memory region is not there as it is said to be, or has no room for the tensor."""


class BodyCorrupt(RequestInvalid):
    """The request's body, or its length, is not what its headers say."""


class BodyTooLarge(RequestInvalid):
    """The request's body, as sent or decompressed, is over the limit."""


class EncodingUnsupported(RequestInvalid):
    """The body's content coding is not one of gzip, deflate and identity."""


class NotFound(ServiceError):
    """There is no such thing here."""


class ModelUnknown(NotFound):
    """No model has that name."""


class RegionUnknown(NotFound):
    """No shared memory region is registered under that name."""


class RepositoryUnknown(NotFound):
    """No repository has that name: there is one, and it has none.

    Args:
        name: that a client asked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no repository {excerpt(name)}; the one that there is has no name: leave it"
            " out"
        )


class VersionUnknown(NotFound):
    """The model has no such version."""


class NotReady(ServiceError):
    """It is there but cannot answer now; later it may."""


class ModelNotReady(NotReady):
    """The model is loading, unloading, or could not be loaded."""


class ServerNotReady(NotReady):
    """Models are still loading, or one of them could not be loaded."""


class EngineFailed(NotReady):
    """What computes the model is not there; it may come back."""


class RunLost(EngineFailed):
    """A run ended without an answer: its process did, or the time for it was over."""


class RequestQuarantined(NotReady):
    """A request during which the model's process has ended twice; it is not tried again."""


class Overloaded(NotReady):
    """As many requests are waiting as may; nothing of this one was done.

    Attributes:
        retry_after_s: seconds until there is probably room.
    """

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TimeoutExpired(NotReady):
    """The time that the request gave itself was over before it was computed."""


class LoadFailed(ServiceError):
    """A model version cannot be served; the message is the reason that the registry keeps."""


class KeyRequired(ServiceError):
    """The operation needs a key, and none was sent that this server knows."""


class OperationForbidden(ServiceError):
    """The operation is not to be asked for over this address, or with this key."""


class HelperError(ServiceError):
    """What runs in a process beside the server gave nothing."""


class HelperRefused(HelperError):
    """It cannot be done; the message is the reason."""


class HelperFailed(HelperError):
    """The process ended, took too long, or met something that nobody foresaw."""
