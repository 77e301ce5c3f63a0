"""The forms in which a report is written: for a person, for CI, for a job summary."""

from normserve.validate.outputs.human import print_report
from normserve.validate.outputs.junit import to_junit
from normserve.validate.outputs.markdown import to_markdown
from normserve.validate.outputs.sarif import to_sarif

__all__ = ["print_report", "to_junit", "to_markdown", "to_sarif"]
