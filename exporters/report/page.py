"""The document of a report as a page: one template for each section. Computes no numbers."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bundle import Finding
from exporters.census import NORM_OPERATORS
from exporters.report.document import ExportReport
from exporters.report.error_chart import error_chart
from exporters.report.matrix import matrix_of
from exporters.report.norms import NormRow, norm_rows, statistics_rows
from exporters.report.strips import spark, strip
from exporters.report.text import brief, grouped, number, printable, size
from exporters.report.verdict import verdict_of
from exporters.statistics import draw_gap

__all__ = ["render_page"]

_TEMPLATE = "report/page.html.j2"
_STATUSES: Final = ("fail", "warn", "pass", "not_applicable")
_FURTHEST = 12
_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'
_RULES: Final = {
    "fold_behind": "folded into the weights of the node before it",
    "fold_in_front": "folded into the weights of the nodes that read it",
    "collapse": "with its neighbours, one BatchNormalization",
    "layer_norm": "primitives, now one LayerNormalization",
    "rms_norm": "primitives, now one RMSNormalization",
    "instance_norm": "primitives, now one InstanceNormalization",
    "duplicate": "computed what another node computes",
}


def render_page(report: ExportReport) -> str:
    """The page, as HTML.

    However large the model, it stays below 5 MB: long tables are cut and say so, long names and
    sentences lose their middle. 300 layers with names of 200 characters take 0.75 MB.

    Args:
        report: what it says.
    """
    manifest = report.manifest
    certificate = manifest.certificate
    norms = norm_rows(report)
    findings = [(status, _of_status(manifest.findings, status)) for status in _STATUSES]
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            report=report,
            manifest=manifest,
            certificate=certificate,
            verdict=verdict_of(report),
            findings=[(status, found) for status, found in findings if found],
            fates=Counter(layer.fate for layer in manifest.norms),
            norms=norms,
            furthest=sorted(norms, key=_furthest_first)[:_FURTHEST],
            statistics=statistics_rows(report),
            matrix=None if certificate is None else matrix_of(certificate),
            gap_finding=next((f for f in manifest.findings if f.check == "train-eval-gap"), None),
            tensors=[
                *(("input", spec) for spec in manifest.inputs),
                *(("output", spec) for spec in manifest.outputs),
            ],
            rules=_RULES,
            norm_operators=NORM_OPERATORS,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("exporters"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(number=number, grouped=grouped, size=size, brief=brief)
    environment.globals.update(
        error_chart=error_chart, strip=strip, spark=spark, gap_chart=_gap_chart
    )
    return environment


def _shown(value: object) -> object:
    """Every value on its way into the page; markup was made here and is escaped already."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return brief(printable(value))
    return value


def _furthest_first(row: NormRow) -> float:
    return 1.0 if row.part is None else -row.part


def _of_status(findings: Sequence[Finding], status: str) -> list[Finding]:
    return [finding for finding in findings if finding.status == status]


def _gap_chart(report: ExportReport) -> Markup:
    assert report.gap is not None  # noqa: S101 - the template asks first
    drawn = printable(draw_gap(report.gap))
    # a file of its own needs the namespace, HTML does not; without it the page holds no address
    return Markup(drawn.replace(_NAMESPACE, "", 1))  # noqa: S704 - it escapes what it is given
