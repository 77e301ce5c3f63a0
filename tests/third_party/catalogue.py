"""All architectures by name. Importing it imports the libraries that they are from."""

from tests.third_party import audio, diffusion, language, medical, vision
from tests.third_party.architecture import ARCHITECTURES

__all__ = ["ARCHITECTURES", "audio", "diffusion", "language", "medical", "vision"]
