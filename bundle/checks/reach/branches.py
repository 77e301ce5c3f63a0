"""If: both branches are followed; the one that is not taken, as far as it runs on these inputs."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bundle.certificate import Operator
from bundle.checks.reach.bits import (
    MARKS,
    NOTHING,
    ROWS,
    SIZE,
    Bits,
    Reach,
    anything,
    foulness,
    merge,
)
from bundle.checks.reach.body import body_of
from bundle.checks.reach.step import Step, Unreasoned
from bundle.checks.reach.walk import BodyRule, Scope, Walk, blamed
from bundle.errors import BundleError

__all__ = ["BODIES"]


def _if(walk: Walk, step: Step, scope: Scope) -> list[Reach]:
    operator = Operator.of(step.node, inside=scope.inside)
    condition = step.bits(0)
    control = anything(condition) & ROWS | (SIZE if anything(condition) & MARKS else NOTHING)
    taken = "then_branch" if bool(step.value(0).reshape(())) else "else_branch"
    results = _branch(walk, step, scope, taken)
    other = "else_branch" if taken == "then_branch" else "then_branch"
    try:
        alternatives = _branch(walk, step, scope, other)
    except (BundleError, Unreasoned):
        # it does not run on this input; what it would do is not known
        walk.unknown.append(operator)
        alternatives = results
    merged = []
    for one, two in zip(results, alternatives, strict=True):
        if one.shape is None:
            raise Unreasoned("it gives no tensor")
        other_bits = two.bits
        if one.bits.ndim != two.bits.ndim:
            # a Squeeze in one branch: what follows fits the other only
            other_bits = one.bits if not foulness(two.bits) else _uniform(two.bits, one.bits.ndim)
        elif one.shape != two.shape:
            lengths = enumerate(zip(two.bits.shape, one.shape, strict=True))
            other_bits = merge(two.bits, [a for a, (n, m) in lengths if n not in (1, m)])
        known = replace(
            one,
            bits=one.bits | other_bits | control,
            shaped=one.shaped | two.shaped | control,
            even=False,
        )
        merged.append(blamed(known, [one, two], operator))
    return merged


def _branch(walk: Walk, step: Step, scope: Scope, name: str) -> list[Reach]:
    body = body_of(walk, step, scope, step.attribute(name), {}, {})
    return body.follow(walk, reaches={}, large={}, small={})[0]


def _uniform(bits: Bits, rank: int) -> Bits:
    return np.full((1,) * rank, anything(bits), np.uint32)


BODIES: Mapping[str, BodyRule] = {"If": _if}
"""By operator."""
