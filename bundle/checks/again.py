"""Run a model on the inputs in a folder, in this process: ``python -m bundle.checks.again FOLDER``.

The folder holds ``subject.json`` (where the model is and how to open it) and ``test_data_set_0``
with the inputs; the outputs are written beside them, in ``test_data_set_1``.
"""

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from bundle.golden import Sample, encode_samples, read_samples
from bundle.opener import open_model
from bundle.providers import ProviderPolicy
from bundle.tuning import SessionTuning

__all__ = ["REQUEST", "Request", "run"]

REQUEST = "request.json"


class Request(BaseModel):
    """What to run.

    Attributes:
        model: the file.
        policy: where.
        threads: of the run.
        tuning: of the session.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path
    policy: ProviderPolicy
    threads: int
    tuning: SessionTuning


def run(folder: Path) -> None:
    """Run the model on the inputs of ``test_data_set_0`` and write its outputs there.

    Raises:
        BundleError: the model cannot be opened or run, or the inputs cannot be read.
    """
    request = Request.model_validate_json((folder / REQUEST).read_bytes())
    opened = open_model(
        request.model, policy=request.policy, threads=request.threads, tuning=request.tuning
    )
    (sample,) = read_samples(folder, opened.inputs, ())
    answered = Sample(inputs=sample.inputs, outputs=opened.run(sample.inputs))
    for name, content in encode_samples([answered], (), opened.outputs).items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
