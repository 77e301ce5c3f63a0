"""What NormServe costs around ONNX Runtime, what it withstands, and what others cost.

    python benchmarks/serving                       the whole, some twenty minutes
    python benchmarks/serving --only overload cold  some parts; what was measured before stays
    python benchmarks/serving --quick --output DIR  each line of it once: says nothing of speed
    python benchmarks/serving --page                the page anew, from what was measured

Each part is written as soon as it is measured; one that fails is told as failed, and the rest goes
on.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from serving import records
from serving.goals import table
from serving.page import write_page
from serving.parts import PARTS, Results
from serving.records import Machine, Record
from serving.scale import FULL, QUICK, Run

_OUTPUT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
_MOST_LOAD = 1.0


def main() -> None:
    """Measure, write, print; exit status 1 where a part failed."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    console = Console(width=None if sys.stdout.isatty() else 132, highlight=False)
    path = arguments.output / "serving.json"
    chosen = [] if arguments.page else arguments.only or list(PARTS)
    failed = []
    if chosen:
        _remark_on_the_machine(console)
    with tempfile.TemporaryDirectory(prefix="normserve-bench-") as folder:
        for number, name in enumerate(chosen):
            console.print(f"[bold]{name}[/] ({number + 1} of {len(chosen)})")
            record = _measure(name, Path(folder), is_quick=arguments.quick, console=console)
            records.write(path, {**records.read(path), name: record})
            console.print(f"  {record.failure or 'done'}, {record.seconds:.0f} s", style="dim")
            failed += [name] if record.failure else []
    found = records.read(path)
    write_page(found, arguments.output)
    console.print(table(Results.of(found)))
    console.print(f"written to {arguments.output}")
    if failed:
        console.print(f"failed: {', '.join(failed)}", style="red")
    sys.exit(bool(failed))


def _measure(name: str, folder: Path, *, is_quick: bool, console: Console) -> Record:
    machine, when, began = Machine.here(), datetime.now(UTC), time.monotonic()
    result, failure = None, ""
    with console.status(name) as status:
        run = Run(
            QUICK if is_quick else FULL, folder, lambda what: status.update(f"{name}: {what}")
        )
        try:
            result = asdict(PARTS[name].measure(run))
        except Exception as err:  # noqa: BLE001 - the edge of a part: the others go on
            console.print(traceback.format_exc(), style="dim", markup=False)
            failure = f"{type(err).__name__}: {err}".partition("\n")[0]
    seconds = time.monotonic() - began
    return Record(machine, when.isoformat(timespec="seconds"), seconds, is_quick, failure, result)


def _remark_on_the_machine(console: Console) -> None:
    if shutil.which("h2load") is None:
        console.print(
            "h2load is not installed (Debian's nghttp2-client): the load comes from a client in"
            " Python, which may be the bottleneck",
            style="yellow",
        )
    load = Machine.here().load
    if load > _MOST_LOAD:
        console.print(
            f"something else runs here (load {load:.1f}): ratios will be rough",
            style="yellow",
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", action="extend", choices=PARTS, metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--quick", action="store_true", help="the least of everything")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="a folder")
    arguments = parser.parse_args()
    if arguments.quick and arguments.output == _OUTPUT:
        parser.error("--quick measures nothing that is worth keeping: say --output FOLDER")
    return arguments


if __name__ == "__main__":
    main()
