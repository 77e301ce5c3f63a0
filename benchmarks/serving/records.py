"""What was measured, on disk: one record a part, each with the machine and the time of it."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from normserve.bench.load import generator

__all__ = ["Machine", "Record", "read", "write"]

_PACKAGES = ("normserve", "onnxruntime", "numpy", "fastapi", "pydantic", "uvicorn", "grpcio")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured.

    Attributes:
        processor: its name.
        cores: that may be used.
        memory_gib: of it.
        system: the kernel's name and version.
        versions: of Python and of the packages that count.
        generator: what makes the load.
        load: processes that wanted a core, in the minute before.
    """

    processor: str
    cores: int
    memory_gib: float
    system: str
    versions: Mapping[str, str]
    generator: str
    load: float

    @property
    def name(self) -> str:
        """The hardware in a line."""
        return f"{self.cores} cores ({self.processor}), {self.memory_gib:g} GiB, {self.system}"

    @classmethod
    def here(cls) -> "Machine":
        """This one, now."""
        cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in cpuinfo if "model name" in line]
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
        return cls(
            processor=names[0] if names else platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            memory_gib=round(pages / 2**30, 1),
            system=f"{platform.system()} {platform.release()}",
            versions={"Python": platform.python_version()} | versions,
            generator=generator(),
            load=os.getloadavg()[0],
        )


@dataclass(frozen=True, slots=True)
class Record:
    """What came of one part.

    Attributes:
        machine: where.
        when: it was begun, ISO 8601.
        seconds: that it took.
        is_quick: whether it was measured at the least scale, which says nothing of speed.
        failure: why there is no result; empty where there is one.
        result: as the part's dataclass gives it.
    """

    machine: Machine
    when: str
    seconds: float
    is_quick: bool
    failure: str
    result: Mapping[str, Any] | None


def read(path: Path) -> dict[str, Record]:
    """The records of a file by their parts; none where there is no file."""
    if not path.exists():
        return {}
    return TypeAdapter(dict[str, Record]).validate_json(path.read_bytes())


def write(path: Path, records: Mapping[str, Record]) -> None:
    """Write all records, so that a reader never sees half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    content = {part: asdict(record) for part, record in records.items()}
    temporary.write_text(json.dumps(_rounded(content), indent=1) + "\n")
    temporary.replace(path)


def _rounded(value: Any) -> Any:
    """Six digits of every number: more were never measured."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
