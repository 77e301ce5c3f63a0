"""``report.html``: what an export found, for a person. Decides nothing.

`describe` puts the numbers into a document; `render_report` makes a page of it that needs no
network, no scripts and no fonts.
"""

from exporters.examination import Examination
from exporters.report.describe import describe
from exporters.report.document import ExportReport
from exporters.report.page import render_page

__all__ = ["ExportReport", "describe", "render_page", "render_report"]


def render_report(examination: Examination) -> bytes:
    """The report of an export, as UTF-8 HTML.

    Args:
        examination: of the model, whether its checks failed or not.
    """
    return render_page(describe(examination)).encode()
