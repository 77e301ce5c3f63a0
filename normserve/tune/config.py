"""The way that was chosen, into a model's configuration. Measures nothing, and decides nothing."""

import re
from pathlib import Path
from typing import Any, Final

from bundle.store import write_atomically
from normserve.tune.config_text import rewritten
from normserve.tune.errors import Untunable
from normserve.tune.evidence import FILE, Evidence, Run
from normserve.tune.model import TunedModel
from service.model_config import read_config, read_config_file
from service.model_tuning import (
    ACCELERATORS,
    BATCH_ROWS,
    EXECUTION_MODE,
    INTER_OP_THREADS,
    INTRA_OP_THREADS,
    LEVELS,
    MEM_ARENA,
    MEM_PATTERN,
)

__all__ = ["configured", "write"]

_CONFIG: Final = "config.pbtxt"
_REMARK: Final = "# tuned by 'normserve tune'"


def configured(config: Any | None, *, present: Run, chosen: Run) -> Any:
    """A configuration that asks for the chosen way; what is the same in both is left as it is.

    Args:
        config: the ``ModelConfig`` message that is there, if there is one.
        present: the way that it asks for now.
        chosen: the way that it is to ask for.
    """
    made = read_config("")
    if config is not None:
        made.CopyFrom(config)
    if chosen.threads != present.threads:
        _set(made, INTRA_OP_THREADS, chosen.threads)
    if (chosen.threads, chosen.instances) != (present.threads, present.instances):
        del made.instance_group[1:]
        group = made.instance_group[0] if made.instance_group else made.instance_group.add()
        group.count = chosen.instances
    if chosen.rows != present.rows:
        _set_rows(made, chosen.rows)
    before, after = present.tuning, chosen.tuning
    if after.level is not before.level:
        made.optimization.graph.level = next(n for n, lv in LEVELS.items() if lv is after.level)
    if after.inter_op_threads != before.inter_op_threads:
        _set(made, EXECUTION_MODE, int(after.inter_op_threads != 1))
        _set(made, INTER_OP_THREADS, after.inter_op_threads)
    if after.mem_arena != before.mem_arena:
        _set(made, MEM_ARENA, int(after.mem_arena))
    if after.mem_pattern != before.mem_pattern:
        _set(made, MEM_PATTERN, int(after.mem_pattern))
    for provider, name, value in set(after.provider_options) - set(before.provider_options):
        _accelerator(made, provider).parameters[name] = value
    return made


def write(model: TunedModel, evidence: Evidence) -> tuple[Path, ...]:
    """Write the chosen way into the model's configuration, and the evidence beside it.

    Returns:
        The files that were written.

    Raises:
        Untunable: the configuration is not what it was, or cannot be written.
    """
    home = model.folder.path.parent
    path = home / _CONFIG
    if read_config_file(home) != model.config:
        raise Untunable(f"'{path}' was changed while its model was tuned; tune it again.")
    made = configured(model.config, present=evidence.present, chosen=evidence.chosen)
    text = path.read_text(encoding="utf-8") if model.config is not None else ""
    text = re.sub(rf"(?m)^{_REMARK}.*\n?", "", text)
    old = read_config(text)
    changed = {
        field.name
        for field in made.DESCRIPTOR.fields
        if getattr(made, field.name) != getattr(old, field.name)
    }
    try:
        write_atomically(home / FILE, evidence.model_dump_json(indent=1) + "\n")
        write_atomically(path, f"{_remark(evidence)}\n{rewritten(text, made, changed)}")
    except OSError as err:
        raise Untunable(f"'{home}' cannot be written: {err.strerror}.") from err
    return path, home / FILE


def _remark(evidence: Evidence) -> str:
    gain = f"{evidence.gain.ratio:.2f} x" if evidence.gain is not None else "nothing"
    return f"{_REMARK} for {evidence.objective} on {evidence.created:%Y-%m-%d} ({gain}): see {FILE}"


def _set(config: Any, parameter: str, value: int) -> None:
    config.parameters[parameter].string_value = str(value)


def _set_rows(config: Any, rows: int) -> None:
    """Where somebody has switched Triton's batching on, in its own words; else in ours."""
    is_tritons = config.HasField("dynamic_batching") and config.max_batch_size > 0
    if is_tritons and BATCH_ROWS not in config.parameters:
        config.dynamic_batching.preferred_batch_size[:] = [rows]
    else:
        _set(config, BATCH_ROWS, rows)


def _accelerator(config: Any, provider: str) -> Any:
    name = next(name for name, of in ACCELERATORS.items() if of == provider)
    there = config.optimization.execution_accelerators.gpu_execution_accelerator
    for accelerator in there:
        if accelerator.name == name:
            return accelerator
    return there.add(name=name)
