"""NormServe's service: bundles in, answers over the Open Inference Protocol out. Never torch.

The way of a request: transport → codec (bytes to arrays) → data plane → registry → runner, and the
same way back.
"""

from service.errors import ServiceError, StartupError
from service.server import serve
from service.settings import Settings, load_settings

__all__ = ["ServiceError", "Settings", "StartupError", "load_settings", "serve"]
