import json
import runpy
from pathlib import Path

from tests.normserve.validate.cases import bundle, run
from tests.normserve.validate.outputs.hostile import CONTROLS, NAME, hostile

DOCS = Path(__file__).parents[4] / "docs"


def test_hostile_text_and_infinities_come_out_as_they_went_in():
    document = json.loads(hostile().model_dump_json())
    assert document["targets"][1]["target"] == f"{NAME}{CONTROLS}"
    assert document["targets"][0]["findings"][0]["measured"] == "Infinity"
    assert document["status"] == "error"
    assert document["exit_status"] == 2


def test_standard_output_is_nothing_but_the_document(tmp_path):
    done = run(bundle(tmp_path), "--json", "--check", "digests")
    assert json.loads(done.out)["schema_version"] == 1
    assert "validating" in done.err


def test_every_form_is_written_beside_it(tmp_path):
    files = {form: tmp_path / f"report.{form}" for form in ("junit", "markdown", "sarif")}
    options = [part for form, path in files.items() for part in (f"--{form}", path)]
    done = run(bundle(tmp_path), "--json", "--check", "digests", *options)
    assert done.status == 0
    assert all(path.stat().st_size for path in files.values())


def test_the_published_schema_is_the_one_of_the_code():
    generate = runpy.run_path(str(DOCS / "generate.py"))
    published = (DOCS / "validate.schema.json").read_text()
    assert generate["report_schema"]() == published, "run `make docs`"
