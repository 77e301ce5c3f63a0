"""Ends a run of a model from another thread. Not for: ending a kernel, which nothing can."""

from bundle.runtime import onnxruntime

__all__ = ["Interrupt"]


class Interrupt:
    """Something that can end one run: given to `bundle.OpenModel.run`, then set from any thread.

    ONNX Runtime looks at it between two nodes, and between two rounds of a loop: a single kernel
    that takes forever is not ended by it.

    Attributes:
        options: what ONNX Runtime is given for the run.
    """

    def __init__(self) -> None:
        self.options = onnxruntime.RunOptions()

    @property
    def is_set(self) -> bool:
        """Whether the run is to end."""
        return bool(self.options.terminate)

    def set(self) -> None:
        """End the run as soon as it can be; it raises `RunInterrupted`."""
        self.options.terminate = True
