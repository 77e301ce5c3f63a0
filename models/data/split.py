"""The two parts of every data set."""

from enum import StrEnum


class Split(StrEnum):
    """What is learned from, and what is held out to judge what was learned."""

    TRAIN = "train"
    TEST = "test"
