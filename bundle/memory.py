"""Gives back the memory that a model's runs have taken. Opens and computes nothing.

ONNX Runtime keeps what a run has taken for the next one, of which a large request leaves a lot. It
gives that back at the end of a run that asks for it, and does so where the run was told to end
before its first node, too: such a run computes nothing. Source: ``InferenceSession::Run``,
https://github.com/microsoft/onnxruntime, onnxruntime/core/session/inference_session.cc.
"""

import contextlib
import ctypes

import numpy as np

from bundle.errors import BundleError
from bundle.interrupt import Interrupt
from bundle.model import OpenModel
from bundle.policy import CPU
from bundle.tensors import Datatype, TensorSpec

__all__ = ["release_memory"]

_SHRINK = "memory.enable_memory_arena_shrinkage"


def release_memory(model: OpenModel) -> None:
    """Give back what runs on the CPU have left. A run that goes on keeps what it has.

    The next run takes memory anew, which costs it some time: for a model that is idle. Nothing is
    done for one that runs on a device.
    """
    if model.provider != CPU:
        return
    interrupt = Interrupt()
    interrupt.options.add_run_config_entry(_SHRINK, "cpu:0")
    interrupt.set()
    with contextlib.suppress(BundleError):  # it is ended; or keeps nothing, and says so
        model.run({spec.name: _least(spec) for spec in model.inputs}, interrupt=interrupt)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # the C library is GNU's, which keeps what was freed in small pieces
        trim(0)


def _least(spec: TensorSpec) -> np.ndarray:
    """A tensor that the model takes, as small as can be."""
    shape = [dim if isinstance(dim, int) else 1 for dim in spec.shape]
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, b"", object)
    return np.zeros(shape, spec.datatype.numpy)
