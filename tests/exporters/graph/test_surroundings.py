"""Subgraphs, and inputs and outputs of the graph, are as they were."""

from collections import Counter

import numpy as np

from tests.exporters.graph.graphs import Graph, bn, norm, normal


def test_what_a_branch_reads_from_outside_keeps_its_numbers():
    graph = Graph(
        "(float[n, 4, 6, 6] x, bool c) => (float[n, 4, 4, 4] y)",
        f"""
        a = Conv (x, w)
        y = If (c) <
          then_branch = t () => (float[n, 4, 4, 4] p) {{ p = {bn("a")} }},
          else_branch = e () => (float[n, 4, 4, 4] q) {{ q = Relu (a) }}
        >
        """,
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops["BatchNormalization"] == 1
    for chosen in (True, False):
        graph.assert_same(x=normal(2, 4, 6, 6), c=np.array(chosen))


def test_a_conv_inside_a_branch_takes_its_norm_up():
    graph = Graph(
        "(float[n, 4, 6, 6] x, bool c) => (float[n, 4, 4, 4] y)",
        f"""
        y = If (c) <
          then_branch = t () => (float[n, 4, 4, 4] p) {{ a = Conv (x, w) p = {bn("a")} }},
          else_branch = e () => (float[n, 4, 4, 4] q) {{ q = Conv (x, w) }}
        >
        """,
        w=normal(4, 4, 3, 3),
        **norm(4),
    )
    assert graph.ops == Counter({"If": 1, "Conv": 2})
    for chosen in (True, False):
        graph.assert_same(x=normal(2, 4, 6, 6), c=np.array(chosen))


def test_a_loop_computes_what_it_did():
    graph = Graph(
        "(float[n, 4] x, int64 count) => (float[n, 4] y)",
        f"""
        go = Constant <value = bool {{1}}> ()
        y = Loop (count, go, x) <
          body = step (int64 i, bool again, float[n, 4] z) => (bool more, float[n, 4] out) {{
            more = Identity (again)
            a = MatMul (z, w)
            out = {bn("a")}
          }}
        >
        """,
        w=normal(4, 4),
        **norm(4),
    )
    graph.assert_same(x=normal(2, 4), count=np.array(3))


def test_two_outputs_that_are_one_value_stay_two():
    graph = Graph(
        "(float[n, 4] x) => (float[n, 4] y, float[n, 4] z)", "y = Relu (x) z = Identity (y)"
    )
    graph.assert_same(x=normal(2, 4))


def test_an_input_that_is_returned_stays_an_output():
    graph = Graph(
        "(float[n, 4] x) => (float[n, 4] y, float[n, 4] z)",
        "y = Identity (x) one = Constant <value_float = 1.0> () z = Mul (x, one)",
    )
    graph.assert_same(x=normal(2, 4))
