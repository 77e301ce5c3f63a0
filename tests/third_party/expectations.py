"""What is expected of the architectures that are not exported whole, and why. Not for: tests."""

from exporters import CheckFailed, ConversionFailed, ExportError, RandomAtInference

__all__ = ["BATCH_NORMS_LEFT", "DECOMPOSED", "NO_OWN_BATCH", "REFUSED"]

REFUSED: dict[str, tuple[type[ExportError], str]] = {
    # a loss over the whole batch is one of its outputs
    "dac": (CheckFailed, r"batch-invariance: .*output 'loss' depends on it"),
    # patches are masked at random, in eval mode too
    "masked_autoencoder": (RandomAtInference, r"layer 'vit\.embeddings' calls rand"),
    # experts get the rows that are routed to them: an operator of transformers' own, without ONNX
    "mixtral": (ConversionFailed, r"transformers\.grouped_mm"),
    # sampled: durations and the latent, in eval mode too
    "vits": (RandomAtInference, r"layer 'duration_predictor' calls randn"),
}
"""Refused with the reason, whatever batch the example has."""

BATCH_NORMS_LEFT = {
    "densenet": 6,  # before the ReLU, over a concat that other layers read
    "high_resolution_net": 9,  # before the ReLU, on a residual sum
}
"""BatchNormalization nodes that no exact rule can fold; everywhere else there is none."""

DECOMPOSED = {
    "convnext_v2": {"ConvNextV2GRN"},  # no operator of ONNX
    "mobilebert": {"NoNorm"},  # a scale and a shift of a residual sum
    "unet_response_norm": {"LocalResponseNorm"},  # ONNX Runtime's LRN is the slower form
}
"""Norm classes that run as primitives; everywhere else every norm is one operator, or folded."""

NO_OWN_BATCH = {
    "vector_quantized": "output 'commit_loss' has shape ()",
}
"""Exported, but rows of several requests cannot share a batch, and the certificate says why."""
