import re

import pytest

from bundle import Finding, Tolerance
from bundle.certificate import Neighbours, Operator, Verdict, Witness
from exporters.report import describe, render_page, render_report
from tests.exporters.report.pages import drawings, parse

SECTIONS = ("findings", "norms", "parity", "batch", "gap", "graph", "sizes", "provenance")
HOSTILE = "<script>alert(1)</script>&\"'\u202e\x00\ud800"


@pytest.fixture(scope="module")
def html(examination):
    return render_report(examination).decode()


@pytest.fixture(scope="module")
def page(html):
    return parse(html)


def changed(report, **changes):
    """The report with another manifest."""
    return report.model_copy(update={"manifest": report.manifest.model_copy(update=changes)})


def shown(report):
    return parse(render_page(report))


def finding(check, status, **more):
    said = {"measured": None, "tolerance": None, "meaning": f"{check} says so", **more}
    return Finding(check=check, status=status, **said)


def test_every_section_is_there_and_linked(page):
    links = {a.attributes["href"] for a in page.all("a")}
    assert links == {f"#{name}" for name in SECTIONS}
    for name in SECTIONS:
        assert page.by_id(name).tag == "section"
        assert page.by_id(name).all("h2")


def test_nothing_is_loaded_and_nothing_runs(html, page):
    for element in page.walk():
        assert element.tag not in {"script", "link", "img", "iframe", "object", "embed", "base"}
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "action", "data"}
            if name == "href":
                assert value.startswith("#")
    assert not re.search(r"url\(|@import|@font-face|https?://", html)


def test_all_drawings_are_well_formed_and_say_what_they_show(html):
    found = drawings(html)
    assert found
    for svg in found:
        if svg.get("aria-hidden") == "true":
            continue  # a number stands beside it
        assert svg.get("role") == "img"
        named = (svg.get("aria-labelledby") or "").split()
        said = [e.text for e in svg.iter() if e.get("id") in named] or [svg.get("aria-label")]
        assert all(said)


def test_identities_are_unique(page):
    found = [e.attributes["id"] for e in page.walk() if "id" in e.attributes]
    assert len(found) == len(set(found))


def test_the_layers_are_shown_with_their_axes_their_fate_and_their_errors(page, report):
    rows = {row[0]: row for row in page.by_id("norms").all("table")[0].rows()}
    assert list(rows) == [layer.name for layer in report.manifest.norms]
    assert rows["bn1"][1:5] == ["BatchNorm2d", "N, H, W", "none", "folded into Conv 'conv1/Conv'"]
    assert rows["ln"][2:4] == ["C", "C"]
    assert rows["head.weight"][2:5] == [
        "weight: I",
        "weight: I",
        "merged into the weight of Gemm 'head/Gemm'",
    ]
    layer = next(layer for layer in report.manifest.norms if layer.name == "bn1")
    assert float(rows["bn1"][5]) == pytest.approx(layer.error, rel=1e-2)
    assert float(rows["bn1"][6]) == pytest.approx(layer.tolerance.atol, rel=1e-2)


def test_running_statistics_are_shown_in_numbers(page, report):
    rows = {row[0]: row for row in page.by_id("norms").all("table")[1].rows()}
    assert list(rows) == ["bn1", "bn2"]
    statistics = report.manifest.norms[0].statistics
    channels, epsilon, least, _, largest = rows["bn1"][1:6]
    assert (channels, epsilon) == ("4", "1e-5")
    assert float(least) == pytest.approx(min(statistics.variance), rel=1e-2)
    assert float(largest) == pytest.approx(max(statistics.variance), rel=1e-2)


def test_outputs_are_shown_with_all_their_elements_and_the_worst(page, report):
    text = page.by_id("parity").text
    scores, label = report.outputs
    assert "scores: FP32 (batch, 3)" in text
    assert f"Elements compared {scores.errors.elements} " in text
    assert f"PyTorch {scores.worst.expected} file {scores.worst.actual}" in text
    assert f"[{', '.join(map(str, scores.worst.worst_index))}]" in text
    assert f"All {label.errors.elements} elements are equal." in text
    assert len(page.by_id("parity").all("table")[0].rows()) == len(report.probes)


def test_the_matrix_has_a_cell_for_every_trial(page, report):
    certificate = report.manifest.certificate
    rows = page.by_id("batch").all("table")[0].rows()
    assert [row[0] for row in rows] == [kind.value for kind in certificate.neighbours]
    assert {len(row) for row in rows} == {1 + 2 * len(certificate.sizes)}
    assert certificate.reason in page.by_id("batch").text


def test_the_gap_is_drawn_and_in_numbers(page, report):
    gap = page.by_id("gap")
    assert gap.all("svg")
    assert [int(row[0]) for row in gap.all("table")[0].rows()] == [
        size.size for size in report.gap.sizes
    ]
    assert [row[0] for row in gap.all("table")[1].rows()] == ["bn1", "bn2"]


def test_the_graph_is_shown_before_and_after(page, report):
    rows = page.by_id("graph").all("table")[0].rows()
    assert ["BatchNormalization", "2", "0"] in rows
    assert f"{report.graph.nodes_before} → {report.graph.nodes_after}" in page.by_id("graph").text


def test_sizes_samples_and_provenance_are_shown(page, report):
    sizes = page.by_id("sizes")
    assert ["batch", "1 to any", "1, 2, 3, 5, 7, 9"] in sizes.all("table")[1].rows()
    assert len(sizes.all("table")[2].rows()) == len(report.samples)
    provenance = page.by_id("provenance").text
    for package, version in report.manifest.provenance.versions.items():
        assert f"{package} {version}" in provenance


def test_a_report_without_failures_says_so_first(report):
    page = shown(changed(report, findings=(finding("mode", "pass"),)))
    assert page.all("header")[0].all("p")[1].text == "✓ No check failed, and none has a remark."


def test_a_failing_examination_has_a_report_that_says_so(failed):
    page = parse(render_report(failed).decode())
    verdict = page.all("header")[0].text
    assert "✕ Not to be served: eval-parity, fold-parity failed." in verdict
    assert "--allow eval-parity" in verdict
    failures = page.by_id("findings").all("table")[0].rows()
    assert [row[0] for row in failures] == ["eval-parity", "fold-parity"]
    assert "normserve diagnose names the first layer that differs" in failures[0][1]
    assert "is outside its tolerance" in page.by_id("parity").text
    assert "✕" in page.by_id("norms").text


def test_a_failure_that_was_allowed_is_named_at_the_top(failed):
    report = changed(describe(failed), allowed=("eval-parity", "fold-parity"))
    page = shown(report)
    verdict = page.all("header")[0].text
    assert "Written although eval-parity, fold-parity failed, which was allowed." in verdict
    assert "--allow" not in verdict
    assert page.by_id("findings").all("table")[0].rows()[0][0] == "eval-parity allowed"
    assert "Allowed to fail eval-parity, fold-parity" in page.by_id("provenance").text


def test_a_remark_is_named_at_the_top_with_what_to_do_below(report):
    remark = finding("mode", "warn", remedy="call model.eval()")
    page = shown(changed(report, findings=(finding("outputs", "pass"), remark)))
    assert "! No check failed; look at mode." in page.all("header")[0].text
    assert "To do: call model.eval()" in page.by_id("findings").text


def test_a_dependent_batch_shows_the_operator_and_the_witness(report):
    witness = Witness(
        source="real",
        row=1,
        size=3,
        place=0,
        neighbours=Neighbours.LOUD,
        output="scores",
        index=(2,),
        alone="0.5",
        batched="0.75",
    )
    certificate = report.manifest.certificate
    cells = tuple(
        cell.model_copy(update={"worst": 0.25 if cell.neighbours is Neighbours.LOUD else 0.0})
        for cell in certificate.cells
    )
    dependent = certificate.model_copy(
        update={
            "verdict": Verdict.DEPENDENT,
            "reason": "a mean over the batch",
            "operator": Operator(op_type="ReduceMean", name="mean"),
            "witness": witness,
            "cells": cells,
        }
    )
    page = shown(changed(report, certificate=dependent))
    batch = page.by_id("batch")
    loud = next(row for row in batch.all("table")[0].rows() if row[0] == "loud")
    assert set(loud[1:]) == {"✕ 0.25", "✕ 0.25 ◂"}
    assert loud.count("✕ 0.25 ◂") == 1
    assert "scores[2] is 0.75, alone 0.5" in batch.text
    assert "ReduceMean 'mean'" in batch.text
    assert "one request a batch" in page.all("header")[0].text


def test_what_could_not_be_measured_is_left_out_and_said(report):
    unmeasured = changed(report, certificate=None).model_copy(update={"gap": None, "axes": None})
    page = shown(unmeasured)
    assert "It could not be established" in page.by_id("batch").text
    assert not page.by_id("gap").all("svg")
    assert page.by_id("norms").all("table")[0].rows()[0][2:4] == ["?", "?"]


def test_a_model_without_norms_and_dynamic_dimensions_has_a_report(report):
    bare = changed(report, norms=(), dimensions={}).model_copy(update={"dimensions": ()})
    page = shown(bare)
    assert "The model has none." in page.by_id("norms").text
    assert "No dimension is dynamic." in page.by_id("sizes").text


def hostile(report, *, layers=300, findings=60, outputs=20, length=200):
    """A large model of which every name is meant to break the page."""
    name = (HOSTILE + "x" * length)[:length]
    manifest, output = report.manifest, report.outputs[0]
    layer = manifest.norms[0]
    norms = tuple(
        layer.model_copy(update={"name": f"{name}.{i}", "kind": name, "detail": f"into '{name}'"})
        for i in range(layers)
    )
    named = tuple(
        output.model_copy(
            update={
                "output": output.output.model_copy(update={"name": f"{name}{i}"}),
                "probe": name,
            }
        )
        for i in range(outputs)
    )
    statuses = ("fail", "warn", "pass", "not_applicable")
    said = {
        "meaning": f"'{name}' " * 9,
        "remedy": name,
        "measured": 0.1,
        "tolerance": Tolerance(atol=1, rtol=0, source=name),
    }
    big = changed(
        report,
        norms=norms,
        outputs=tuple(o.output for o in named),
        findings=tuple(finding(f"check-{i}", statuses[i % 4], **said) for i in range(findings)),
        batch_dependent=(name,),
    )
    agreements = tuple(a.model_copy(update={"layer": name}) for a in report.gap.agreements)
    gap = report.gap.model_copy(update={"agreements": agreements})
    return big.model_copy(update={"outputs": named, "gap": gap})


def test_hostile_names_are_text(report):
    html = render_page(hostile(report))
    page = parse(html)

    assert not page.all("script")
    assert not re.search("[\x00\u202e\ud800]", html)
    html.encode()  # no half of a pair is left
    assert "<script>alert(1)</script>&\"'\ufffd\ufffd\ufffdxxx" in page.by_id("norms").text
    assert drawings(html)


def test_long_tables_are_folded_and_what_is_furthest_off_comes_first(report):
    big = hostile(report)
    worst = big.manifest.norms[123]
    worse = worst.model_copy(update={"error": 2 * worst.tolerance.atol})
    norms = (*big.manifest.norms[:123], worse, *big.manifest.norms[124:])
    section = shown(changed(big, norms=norms)).by_id("norms")

    (summary,) = (s for s in section.all("summary") if "in the order" in s.text)
    assert summary.text == "All 300 layers, in the order of the model"
    assert "✕ 2" in section.all("table")[0].rows()[0][7]
    assert len(section.all("table")[1].rows()) == 300


def test_a_large_model_has_a_report_of_bounded_size(report):
    big = hostile(report, layers=5000, findings=2000, outputs=600, length=5000)
    assert len(render_page(big).encode()) < 5_000_000
