"""Everything that can go wrong while serving. Not for: how a transport tells it.

Each transport has its own table from these classes to its status, looked up along the class's
method resolution order, so that a class without an entry of its own is told like its parent.

::

    ServiceError
    ├── StartupError              the server cannot start; never seen by a client
    │   ├── SettingsInvalid       a setting is unknown or has a value that cannot be
    │   ├── RepositoryMissing     the model repository is no folder
    │   ├── AddressUnavailable    the address cannot be bound
    │   └── ProviderMissing       the execution provider that is required is not on this machine
    ├── RequestInvalid            the client's fault: the same request will fail again
    │   ├── JsonInvalid           the text is no JSON object, or its fields have the wrong types
    │   ├── TensorInvalid         a tensor's data contradict its datatype or its shape
    │   ├── InputMismatch         the inputs are not those that the model declares
    │   ├── OutputUnknown         an output is asked for that the model does not have
    │   ├── ParameterInvalid      a parameter has the wrong type or is not offered here
    │   ├── NotJsonRepresentable  an output that JSON cannot carry was asked for as JSON
    │   ├── InferenceRefused      the model cannot compute with these values
    │   ├── BodyCorrupt           the request's body is not what its headers say
    │   ├── BodyTooLarge          the request's body is over the limit
    │   └── EncodingUnsupported   the body's content coding is not one that is understood
    ├── NotFound                  there is no such thing here
    │   ├── ModelUnknown
    │   └── VersionUnknown
    ├── NotReady                  there is, but it cannot answer now
    │   ├── ServerNotReady        models are still loading, or one could not be loaded
    │   ├── ModelNotReady         loading, failed to load, or unloading
    │   └── Overloaded            as many requests are waiting as may
    ├── OperationForbidden        it may not be asked for from there
    ├── LoadFailed                a model cannot be served; the reason goes to the registry
    └── HelperError               what runs beside the server gave nothing; never seen by a client
        ├── HelperRefused         it cannot be done
        └── HelperFailed          the process ended, took too long, or met a bug
"""

__all__ = [
    "AddressUnavailable",
    "BodyCorrupt",
    "BodyTooLarge",
    "EncodingUnsupported",
    "HelperError",
    "HelperFailed",
    "HelperRefused",
    "InferenceRefused",
    "InputMismatch",
    "JsonInvalid",
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
    "RepositoryMissing",
    "RequestInvalid",
    "ServerNotReady",
    "ServiceError",
    "SettingsInvalid",
    "StartupError",
    "TensorInvalid",
    "VersionUnknown",
    "excerpt",
]

_EXCERPT_CHARACTERS = 80


def excerpt(value: object) -> str:
    """A client's value for a message: quoted as Python does, and never longer than a line."""
    text = repr(value[:_EXCERPT_CHARACTERS] if isinstance(value, str | bytes) else value)
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


class VersionUnknown(NotFound):
    """The model has no such version."""


class NotReady(ServiceError):
    """It is there but cannot answer now; later it may."""


class ModelNotReady(NotReady):
    """The model is loading, unloading, or could not be loaded."""


class ServerNotReady(NotReady):
    """Models are still loading, or one of them could not be loaded."""


class Overloaded(NotReady):
    """As many requests are waiting as may; nothing of this one was done."""


class LoadFailed(ServiceError):
    """A model version cannot be served; the message is the reason that the registry keeps."""


class OperationForbidden(ServiceError):
    """What changes or burdens the server is not to be asked for over this address."""


class HelperError(ServiceError):
    """What runs in a process beside the server gave nothing."""


class HelperRefused(HelperError):
    """It cannot be done; the message is the reason."""


class HelperFailed(HelperError):
    """The process ended, took too long, or met something that nobody foresaw."""
