"""``normserve validate``: the checks of a model as a command, for a person and for CI.

Reads arguments, examines, writes reports. The checks themselves are in `bundle.checks`,
`exporters.checks`, `normserve.served` and, for what lies on disk, in ``library`` here.
"""

from normserve.validate.document import Examined, Found, Report
from normserve.validate.entry import command

__all__ = ["Examined", "Found", "Report", "command"]
