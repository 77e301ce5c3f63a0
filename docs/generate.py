"""Write the generated pages of ``docs/``: the JSON Schemas of the documents."""

import json
from pathlib import Path

from bundle import Manifest
from normserve.validate import Report

HOME = Path(__file__).parent

_DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def manifest_schema() -> str:
    """The JSON Schema of ``manifest.json``, as it is published."""
    return json.dumps(_DIALECT | Manifest.model_json_schema(), indent=1) + "\n"


def report_schema() -> str:
    """The JSON Schema of what ``normserve validate --json`` prints, as it is published."""
    return json.dumps(_DIALECT | Report.model_json_schema(mode="serialization"), indent=1) + "\n"


if __name__ == "__main__":
    (HOME / "manifest.schema.json").write_text(manifest_schema())
    (HOME / "validate.schema.json").write_text(report_schema())
