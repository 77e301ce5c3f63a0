"""What a reply says of how it came about, as parameters of the protocol. Measures nothing.

Which file computed it, on what, in which run and at which place of it: enough to ask again, and to
know whether the same was asked (`normserve replay`).
"""

from collections.abc import Mapping
from typing import Final

from service.errors import ParameterInvalid, excerpt
from service.inference import Parameter
from service.machine import normserve_version
from service.registry import ServedModel
from service.statistics import ExecutionTimes

__all__ = ["REQUEST_PARAMETER", "provenance_of", "wants_provenance"]

REQUEST_PARAMETER: Final = "normserve_provenance"
"""With ``true`` in a request, its reply has the parameters of `provenance_of`."""

_NS_A_US = 1000


def wants_provenance(parameters: Mapping[str, Parameter], *, by_default: bool) -> bool:
    """Whether the reply to a request with these parameters is to say how it came about.

    Raises:
        ParameterInvalid: it is asked for with something else than true or false.
    """
    asked = parameters.get(REQUEST_PARAMETER, by_default)
    if not isinstance(asked, bool):
        raise ParameterInvalid(
            f"parameter {REQUEST_PARAMETER!r} must be true or false; got {excerpt(asked)}"
        )
    return asked


def provenance_of(model: ServedModel, times: ExecutionTimes, *, rows: int) -> dict[str, Parameter]:
    """How an answer came about.

    Args:
        model: that computed it.
        times: of the run.
        rows: of the request.

    Returns:
        ``normserve_manifest_sha256`` is left out for a model without a manifest, and
        ``normserve_certificate_sha256`` where no batch certificate is established.
    """
    consistency = model.consistency
    source, report = consistency.source, consistency.status.report
    told: dict[str, Parameter] = {
        "normserve_version": normserve_version(),
        "normserve_model_version": str(model.version),
        "normserve_model_sha256": source.model_sha256,
        "normserve_provider": consistency.placement.provider,
        "normserve_batch_size": rows if times.batch_size is None else times.batch_size,
        "normserve_batch_row": times.first_row,
        "normserve_queue_us": times.queue // _NS_A_US,
        "normserve_compute_us": times.compute // _NS_A_US,
    }
    if source.manifest_sha256 is not None:
        told["normserve_manifest_sha256"] = source.manifest_sha256
    if report is not None:
        told["normserve_certificate_sha256"] = report.certificate.sha256
    return told
