"""``report.html``: what the manifest says, for a person. Self-contained; decides nothing."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporters.examination import Examination

__all__ = ["render_report"]

_TEMPLATE = "report.html.j2"


def render_report(examination: Examination) -> bytes:
    """The report of an export, as UTF-8 HTML that needs no network.

    Args:
        examination: of the model.
    """
    manifest, proof = examination.manifest, examination.subject.proof
    environment = Environment(
        loader=PackageLoader("exporters"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    statuses = [finding.status for finding in manifest.findings]
    verdict = next((s for s in ("fail", "warn") if s in statuses), "pass")
    page = environment.get_template(_TEMPLATE).render(
        manifest=manifest,
        verdict=verdict,
        outputs=[(spec, proof.worst(spec.name)) for spec in manifest.outputs],
        runs=len(proof.compared),
    )
    return page.encode()
