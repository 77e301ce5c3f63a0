"""Folds on graphs made by hand: what may be folded, what must not, and who must not notice."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from exporters.graph import optimize
from tests.exporters.graph.graphs import Graph, bn, norm, normal

IMAGES = "(float[n, 4, 6, 6] x) => (float[n, c, h, w] y)"


def test_a_conv_whose_result_is_read_twice_keeps_its_numbers():
    graph = Graph(
        IMAGES, f"a = Conv (x, w) b = {bn('a')} y = Add (a, b)", w=normal(4, 4, 3, 3), **norm(4)
    )
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1, "Add": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_a_conv_whose_result_is_an_output_keeps_its_numbers():
    graph = Graph(
        "(float[n, 4, 6, 6] x) => (float[n, c, h, w] a, float[n, c, h, w] y)",
        f"a = Conv (x, w) y = {bn('a')}",
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_the_other_reader_of_a_tied_weight_keeps_the_old_one():
    graph = Graph(
        IMAGES,
        f"a = Conv (x, w, k) b = {bn('a')} c = Relu (b) y = Conv (c, w, k)",
        w=normal(4, 4, 3, 3),
        k=normal(4),
        **norm(4),
    )
    assert graph.ops == Counter({"Conv": 2, "Relu": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_two_norms_that_share_their_parameters_fold_into_two_convs():
    graph = Graph(
        IMAGES,
        f"a = Conv (x, w) b = {bn('a')} c = Relu (b) d = Conv (c, w) y = {bn('d')}",
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"Conv": 2, "Relu": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_a_bias_that_is_also_a_norms_shift_is_copied():
    parameters = norm(4)
    graph = Graph(
        IMAGES,
        f"a = Conv (x, w, beta) b = {bn('a')} y = Mul (b, b)",
        w=normal(4, 4, 3, 3),
        **parameters,
    )
    assert graph.ops == Counter({"Conv": 1, "Mul": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


@pytest.mark.parametrize("dynamic", ["w", "k", "mean"])
def test_nothing_is_folded_into_or_from_what_is_known_only_at_run_time(dynamic):
    arrays = {"w": normal(4, 4, 3, 3), "k": normal(4), **norm(4)}
    fed = {dynamic: arrays.pop(dynamic)}
    shape = ", ".join(str(size) for size in fed[dynamic].shape)
    graph = Graph(
        f"(float[n, 4, 6, 6] x, float[{shape}] {dynamic}) => (float[n, c, h, w2] y)",
        f"a = Conv (x, w, k) y = {bn('a')}",
        **arrays,
    )
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1})
    graph.assert_same(x=normal(2, 4, 6, 6), **fed)


def test_a_weight_that_its_caller_may_override_takes_nothing_up():
    graph = Graph(
        "(float[n, 4, 6, 6] x, float[4, 4, 3, 3] w) => (float[n, c, h, w2] y)",
        f"a = Conv (x, w) y = {bn('a')}",
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_a_norm_in_training_mode_is_left_alone():
    graph = Graph(
        IMAGES,
        f"a = Conv (x, w) y, m, v = {bn('a', attributes='<training_mode = 1>')}",
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1})


@pytest.mark.parametrize("gamma", [-2.0, 0.0])
def test_a_scale_may_be_negative_or_zero(gamma):
    parameters = norm(4) | {"gamma": np.array([gamma, 1, gamma, 1], np.float32)}
    graph = Graph(IMAGES, f"a = Conv (x, w) y = {bn('a')}", w=normal(4, 4, 3, 3), **parameters)
    assert graph.ops == Counter({"Conv": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_a_variance_of_zero_leaves_epsilon_under_the_root():
    parameters = norm(4, variance=np.zeros(4, np.float32))
    graph = Graph(IMAGES, f"a = Conv (x, w) y = {bn('a')}", w=normal(4, 4, 3, 3), **parameters)
    assert graph.ops == Counter({"Conv": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


@pytest.mark.parametrize("broken", [-1.0, np.nan])
def test_statistics_that_are_no_variance_are_not_hidden_in_a_weight(broken):
    parameters = norm(4, variance=np.array([1, 1, broken, 1], np.float32))
    graph = Graph(IMAGES, f"a = Conv (x, w) y = {bn('a')}", w=normal(4, 4, 3, 3), **parameters)
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1})


def test_a_fold_that_half_precision_cannot_hold_is_not_made():
    half = np.float16
    parameters = norm(4, dtype=half, variance=np.full(4, 0, half))
    parameters["gamma"] = np.full(4, 3000, half)
    graph = Graph(
        "(float16[n, 4, 6, 6] x) => (float16[n, c, h, w] y)",
        f"a = Conv (x, w) y = {bn('a')}",
        w=normal(4, 4, 3, 3, dtype=half),
        **parameters,
    )
    assert graph.ops == Counter({"Conv": 1, "BatchNormalization": 1})


def test_half_precision_weights_are_folded_in_double_precision_and_rounded_once():
    half = np.float16
    arrays = {"w": normal(4, 4, 3, 3, dtype=half), **norm(4, dtype=half)}
    graph = Graph(
        "(float16[n, 4, 6, 6] x) => (float16[n, c, h, w] y)",
        f"a = Conv (x, w) y = {bn('a')}",
        **arrays,
    )
    assert graph.ops == Counter({"Conv": 1})
    (conv,) = graph.model.graph
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    scale = exact["gamma"] / np.sqrt(exact["var"] + np.float32(1e-5))
    expected = (exact["w"] * scale[:, None, None, None]).astype(half)
    np.testing.assert_array_equal(conv.inputs[1].const_value.numpy(), expected)


@pytest.mark.parametrize("attributes", ["", "<alpha = 0.5, beta = 2.0>"])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,)])
def test_a_product_takes_a_norm_up_from_both_sides(bias, transposed, attributes):
    attributes = attributes.replace("<", f"<transB = {transposed}, ") or f"<transB = {transposed}>"
    arrays = {"w": normal(5, 3) if transposed else normal(3, 5)}
    if bias is not None:
        arrays["k"] = normal(*bias)
    inputs = ", ".join(["a", *arrays])
    graph = Graph(
        "(float[n, 3] x) => (float[n, m] y)",
        f"a = {bn('x', 1)} b = Gemm {attributes} ({inputs}) y = {bn('b', 2)}",
        **arrays,
        **norm(3, name=1),
        **norm(5, name=2),
    )
    assert graph.ops == Counter({"Gemm": 1})
    graph.assert_same(x=normal(4, 3))


def test_a_product_without_its_addend_takes_nothing_up():
    graph = Graph(
        "(float[n, 3] x) => (float[n, m] y)",
        f"b = Gemm <beta = 0.0> (x, w, k) y = {bn('b')}",
        w=normal(3, 5),
        k=normal(5),
        **norm(5),
    )
    assert graph.ops == Counter({"Gemm": 1, "BatchNormalization": 1})
    graph.assert_same(x=normal(4, 3))


def test_a_map_that_does_not_move_zero_passes_zero_padding():
    graph = Graph(
        IMAGES,
        f"a = {bn('x')} y = Conv <pads = [1, 1, 1, 1]> (a, w)",
        w=normal(4, 4, 3, 3),
        **(norm(4) | {"beta": np.zeros(4, np.float32), "mean": np.zeros(4, np.float32)}),
    )
    assert graph.ops == Counter({"Conv": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_automatic_padding_is_padding():
    graph = Graph(
        IMAGES,
        f'a = {bn("x")} y = Conv <auto_pad = "SAME_UPPER"> (a, w)',
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"BatchNormalization": 1, "Conv": 1})


def test_a_pad_that_adds_channels_is_not_passed():
    graph = Graph(
        IMAGES,
        f'a = {bn("x")} b = Pad <mode = "edge"> (a, pads) y = Conv (b, w)',
        w=normal(4, 5, 3, 3),
        pads=np.array([0, 1, 0, 0, 0, 0, 0, 0]),
        **norm(4),
    )
    assert graph.ops == Counter({"BatchNormalization": 1, "Pad": 1, "Conv": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_one_reader_that_cannot_take_a_norm_up_keeps_it_for_all():
    graph = Graph(
        "(float[n, 4] x) => (float[n, 3] y, float[n, 4] z)",
        f"a = {bn('x')} y = MatMul (a, w) z = Relu (a)",
        w=normal(4, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"BatchNormalization": 1, "MatMul": 1, "Relu": 1})
    graph.assert_same(x=normal(2, 4))


def test_a_norm_that_is_itself_an_output_is_not_folded_forward():
    graph = Graph(
        "(float[n, 4] x) => (float[n, 3] y, float[n, 4] a)",
        f"a = {bn('x')} y = MatMul (a, w)",
        w=normal(4, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"BatchNormalization": 1, "MatMul": 1})
    graph.assert_same(x=normal(2, 4))


def test_a_norm_across_heads_folds_into_the_linear_that_made_them():
    graph = Graph(
        "(float[n, 5, 6] x) => (float[n, 3, 5, 4] y)",
        f"""
        a = MatMul (x, w) b = Add (a, k) c = Reshape (b, heads)
        d = Transpose <perm = [0, 2, 1, 3]> (c) y = {bn("d")}
        """,
        w=normal(6, 12),
        k=normal(12),
        heads=np.array([0, 5, 3, 4]),
        **norm(3),
    )
    assert graph.ops == Counter({"MatMul": 1, "Add": 1, "Reshape": 1, "Transpose": 1})
    graph.assert_same(x=normal(2, 5, 6))


def test_a_reshape_that_mixes_channels_is_not_passed():
    graph = Graph(
        "(float[n, 4, 6, 6] x) => (float[n, 6, 4, 6] y)",
        f"a = Conv (x, w) b = Reshape (a, shape) y = {bn('b')}",
        w=normal(4, 4, 1, 1),
        shape=np.array([0, 6, 4, 6]),
        **norm(6),
    )
    assert graph.ops == Counter({"Conv": 1, "Reshape": 1, "BatchNormalization": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_a_product_that_broadcasts_is_no_map_per_channel():
    graph = Graph(
        "(float[n, 4, 6, 6] x) => (float[n, 3, 6, 6] y)",
        "a = Conv (x, w) y = Mul (a, s)",
        w=normal(1, 4, 1, 1),
        s=normal(3, 1, 1),
    )
    assert graph.ops == Counter({"Conv": 1, "Mul": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))


def test_unfolded_products_and_sums_become_one_norm():
    graph = Graph(
        "(float[n, 4, 6, 6] x) => (float[n, 4, 6, 6] y)",
        "a = Relu (x) b = Mul (a, s) c = Add (b, t) y = Relu (c)",
        s=normal(1, 4, 1, 1),
        t=normal(1, 4, 1, 1),
    )
    assert graph.ops == Counter({"Relu": 2, "BatchNormalization": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))
    assert [rewrite.rule for rewrite in graph.rewrites] == ["collapse", "collapse"]


def test_what_stands_around_an_unfolded_norm_goes_into_it():
    parameters = norm(4)
    graph = Graph(
        "(float[n, 4, 6, 6] x) => (float[n, 4, 6, 6] y)",
        f"a = Relu (x) b = Add (a, t) c = {bn('b')} d = Mul (c, s) y = Sigmoid (d)",
        s=normal(4, 1, 1),
        t=normal(4, 1, 1),
        **parameters,
    )
    assert graph.ops == Counter({"Relu": 1, "BatchNormalization": 1, "Sigmoid": 1})
    graph.assert_same(x=normal(2, 4, 6, 6))
    kept = next(node for node in graph.model.graph if node.op_type == "BatchNormalization")
    np.testing.assert_array_equal(kept.inputs[3].const_value.numpy(), parameters["mean"])


def test_the_declared_statistics_of_older_exporters_are_dropped():
    proto = Graph(IMAGES, f"a = Relu (x) y = {bn('a')}", opset=18, **norm(4)).before
    model = ir.from_proto(proto)
    next(node for node in model.graph if node.op_type == "BatchNormalization").resize_outputs(3)
    optimize(model)
    (kept,) = (node for node in model.graph if node.op_type == "BatchNormalization")
    assert len(kept.outputs) == 1


def test_the_metadata_of_a_conv_survive_its_fold():
    proto = Graph(IMAGES, f"a = Conv (x, w) y = {bn('a')}", w=normal(4, 4, 3, 3), **norm(4)).before
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto))
    model.graph[0].metadata_props["scope"] = "stem.conv"
    optimize(model)
    (conv,) = model.graph
    assert conv.metadata_props["scope"] == "stem.conv"
    assert conv.name == "Conv_0"
