import pytest
import torch

from exporters.report import ExportReport, describe


def test_the_document_survives_json(report):
    assert ExportReport.model_validate_json(report.model_dump_json()) == report


def test_every_element_of_every_run_is_counted(examination, report):
    scores, label = report.outputs
    proof = examination.subject.proof

    assert scores.errors.elements == sum(run.errors["scores"].elements for run in proof.compared)
    assert scores.errors.elements == 3 * label.errors.elements
    assert scores.own_errors.elements * 2 == scores.errors.elements  # optimizations on and off
    assert label.own_errors is None
    assert label.errors.equal == label.errors.elements


def test_the_largest_error_is_that_of_the_worst_comparison(report):
    scores, _ = report.outputs
    assert scores.errors.outside == 0
    assert scores.errors.largest == pytest.approx(
        scores.worst.max_abs_error / scores.worst.tolerance.atol
    )
    assert scores.errors.largest == max(max(p.optimized, p.plain) for p in report.probes)


def test_torchs_own_error_is_at_most_an_eighth_of_the_tolerance(report):
    assert report.outputs[0].own_errors.largest <= 1 / 8


def test_the_inputs_are_named_once_for_both_settings(examination, report):
    labels = [probe.probe for probe in report.probes]
    assert len(labels) == len(set(labels)) == len(examination.subject.proof.compared) / 2
    assert {"the example inputs", "reference inputs 0", "reference inputs 1"} <= set(labels)


def test_sizes_are_those_of_the_random_and_of_the_real_inputs(report):
    (batch,) = report.dimensions
    assert (batch.name, batch.sizes) == ("batch", (1, 2, 3, 5, 7, 9))


def test_operators_are_counted_before_and_after(report):
    counts = {count.operator: (count.before, count.after) for count in report.graph.operators}
    assert counts["BatchNormalization"] == (2, 0)
    assert counts["Conv"] == (2, 2)
    assert counts["LayerNormalization"] == (1, 1)
    assert report.graph.nodes_after == sum(after for _, after in counts.values())


def test_what_was_folded_is_counted_by_rule(report):
    (rewrite,) = report.graph.rewrites
    assert (rewrite.rule, rewrite.operator, rewrite.count) == (
        "fold_behind",
        "BatchNormalization",
        2,
    )
    assert rewrite.into in [("conv1/Conv",), ("conv2/Conv",)]


def test_folding_leaves_the_weights_of_the_convolutions_and_drops_those_of_the_norms(
    examination, report
):
    model = examination.subject.source.model
    tensors = (*model.parameters(), *model.buffers())
    numbers = sum(t.numel() for t in tensors if t.is_floating_point())
    assert report.graph.parameters_before == numbers
    # four numbers a channel go with a batch norm; the weight norm's magnitudes go into its weight
    assert report.graph.parameters_after == numbers - 4 * (4 + 5) - 3
    assert report.graph.model_bytes == examination.model.ByteSize()


def test_golden_samples_are_summed_up(examination, report):
    tensors = {(t.sample, t.name): t for t in report.samples}
    first = torch.from_numpy(examination.samples[0].inputs["pixels"])

    pixels = tensors[0, "pixels"]
    assert (pixels.role, pixels.shape) == ("input", (9, 3, 8, 8))
    assert (pixels.minimum, pixels.maximum) == (float(first.min()), float(first.max()))
    assert pixels.mean == pytest.approx(float(first.double().mean()))
    assert tensors[1, "label"].role == "output"


def test_axes_and_gap_are_those_that_the_subject_measured_once(examination, report):
    assert report.axes is examination.subject.axes
    assert report.gap is examination.subject.gap
    assert report.gap.sizes


def test_what_failed_and_was_not_allowed_is_what_refuses(failed):
    report = describe(failed)
    assert {finding.check for finding in report.refused} == {"eval-parity", "fold-parity"}
    assert report.outputs[0].errors.outside > 0

    allowed = report.manifest.model_copy(update={"allowed": ("eval-parity",)})
    partly = report.model_copy(update={"manifest": allowed})
    assert {finding.check for finding in partly.refused} == {"fold-parity"}
    assert {finding.check for finding in partly.failures} == {"eval-parity", "fold-parity"}
