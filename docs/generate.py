"""Write the generated pages of ``docs/``: the JSON Schema of the manifest."""

import json
from pathlib import Path

from bundle import Manifest

HOME = Path(__file__).parent


def manifest_schema() -> str:
    """The JSON Schema of ``manifest.json``, as it is published."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Manifest.model_json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    (HOME / "manifest.schema.json").write_text(manifest_schema())
