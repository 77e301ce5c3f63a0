"""Where two ways of computing a model begin to differ, and why. Knows no torch.

`diagnose_files` compares two files, `diagnose_ways` one file with itself; `examine` is what both,
and `exporters.diagnose`, are made of.
"""

from bundle.diagnose.diagnosis import Cause, CauseKind, Diagnosis, Reproduction, Step, Verdict
from bundle.diagnose.examination import Examined, Setup, examine, unoptimized
from bundle.diagnose.files import diagnose_files
from bundle.diagnose.graph import Graph
from bundle.diagnose.trace import Point, Sides
from bundle.diagnose.values import InnerValues
from bundle.diagnose.ways import Way, diagnose_ways, ways_here

__all__ = [
    "Cause",
    "CauseKind",
    "Diagnosis",
    "Examined",
    "Graph",
    "InnerValues",
    "Point",
    "Reproduction",
    "Setup",
    "Sides",
    "Step",
    "Verdict",
    "Way",
    "diagnose_files",
    "diagnose_ways",
    "examine",
    "unoptimized",
    "ways_here",
]
