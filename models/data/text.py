"""English prose and tables: the descriptions of scikit-learn's data sets, as characters.

The vocabulary is fixed (newline and printable ASCII), so that weights fit whatever the text is.
"""

import unicodedata
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from models.data.split import Split

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
UNKNOWN = ALPHABET.index("?")
MASK = len(ALPHABET)
VOCABULARY = len(ALPHABET) + 1
"""The characters and the mask."""

BLOCK = 800
"""The length, in characters, from which on a block ends at the next paragraph."""
EVERY = 6
"""One block in so many is held out."""

SOURCE = (
    "The descriptions of the data sets in scikit-learn (`sklearn/datasets/descr/*.rst`), "
    "about 47,000 characters of English prose, tables and references."
)
SPLIT = (
    f"The texts are cut at paragraph ends into blocks of at least {BLOCK} characters; "
    f"every {EVERY}th block is held out."
)
LICENCE = "BSD-3-Clause (scikit-learn)."


def encode(text: str) -> npt.NDArray[np.int64]:
    """Turn characters into tokens; accents are dropped, what is still unknown becomes `?`."""
    plain = unicodedata.normalize("NFKD", text)
    kept = (character for character in plain if not unicodedata.combining(character))
    positions = {character: position for position, character in enumerate(ALPHABET)}
    return np.array([positions.get(character, UNKNOWN) for character in kept], dtype=np.int64)


@cache
def blocks(split: Split) -> tuple[str, ...]:
    """Read the blocks of one split, in the order of the file names and of the texts."""
    folder = files("sklearn.datasets") / "descr"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".rst"))
    cut: list[str] = []
    for name in names:
        block = ""
        for paragraph in (folder / name).read_text(encoding="utf-8").split("\n\n"):
            block += paragraph + "\n\n"
            if len(block) >= BLOCK:
                cut.append(block)
                block = ""
        if block:
            cut.append(block)
    held_out = split is Split.TEST
    return tuple(
        block for number, block in enumerate(cut) if (number % EVERY == EVERY - 1) == held_out
    )


@cache
def tokens(split: Split) -> npt.NDArray[np.int64]:
    """Read one split as a single sequence of tokens."""
    return encode("".join(blocks(split)))
