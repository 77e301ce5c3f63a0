"""Which rows of a batch can reach which element of a model's outputs, read from its graph.

A static scan, helped by one run for shapes and indices: it looks at what operators may do, not at
what values they happened to have, so that it also finds what acts only on NaN, only on loud
neighbours, or only beyond some number of rows.
"""

from bundle.checks.reach.independence import Independence, examine

__all__ = ["Independence", "examine"]
