"""The rule that decides claims, as functions of arrays: the last axis is the look, the others are claims or files.

All is in the claim's direction: more is better for the arm, and of a ratio it is the logarithm. The edge a and the
smallest difference that matters, δ, are fixed beforehand. Two facts are tested at each look, "θ > a" and "θ < δ"; a
fact is kept from the first look at which its p value is at most the look's level, and the verdict follows from the
facts. `benchmarks/coverage.py` simulates these same functions; docs/evaluation.md explains them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from assay.analysis.statistics import MOST_DEGREES, example_reach

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

    from assay.analysis.statistics import Answers, Moments
    from assay.scoring.predictions import Array

OUTCOMES = ("undecided", "reproduced", "refuted", "negligible")
HALVINGS = 50  # of the logarithm of a p value, when it is searched for
LEAST_P = 1e-15


class Evidence(NamedTuple):
    """What is known at each look; `answers` are those that differ where the numbers are right and wrong answers."""

    seeds: Int64[Array, " look"]
    found: Moments
    answers: Answers | None = None


class Decision(NamedTuple):
    """What follows: an index into `OUTCOMES`, and the look that decides, or the last one.

    `p_above` is the p value of "θ is at most a", `p_below` that of "θ is at least δ"; NaN where seeds do not vary.
    `above` is the look from which "θ > a" is kept, `below` that of "θ < δ"; the number of looks where it is not shown.
    """

    p_above: Float64[Array, "... look"]
    p_below: Float64[Array, "... look"]
    above: Array
    below: Array
    outcome: Array
    look: Array


def degrees(seeds: Int64[Array, " look"], found: Moments) -> Float64[Array, "... look"]:
    """Degrees of freedom ν = (S - 1) V / V_seeds: at small levels Satterthwaite's formula is too liberal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum(MOST_DEGREES, (seeds - 1) * found.variance / found.of_seeds)


def decide(
    evidence: Evidence, edge: Array | float, matters: Array | float, levels: Float64[Array, " look"]
) -> Decision:
    """Apply the rule to the looks that there are, at least one, at the levels α w / m; δ is no less than a."""
    edge, matters = np.asarray(edge, np.float64), np.asarray(matters, np.float64)
    seeds, found, answers = evidence
    with np.errstate(divide="ignore", invalid="ignore"):
        unit, free = np.where(found.of_seeds > 0, np.sqrt(found.variance), np.nan), degrees(seeds, found)
        p_above = stdtr(free, (edge[..., None] - found.mean) / unit)
        p_below = stdtr(free, (found.mean - matters[..., None]) / unit)
    if answers is not None:
        p_above = _no_less(p_above, answers, 0, found.mean - edge[..., None], levels)
        p_below = _no_less(p_below, answers, 1, matters[..., None] - found.mean, levels)
    none = len(levels)
    above, below = (np.where((p <= levels).any(-1), (p <= levels).argmax(-1), none) for p in (p_above, p_below))
    yes, no = above < none, below < none
    either = np.where(above < below, 1, 2)  # where a = δ the first fact ends it
    both = np.where(matters > edge, 3, either)
    outcome = np.where(yes & no, both, np.where(yes, 1, np.where(no, 2, 0)))
    by_outcome = np.stack([np.full_like(above, none - 1), above, below, np.maximum(above, below)])
    look = np.take_along_axis(by_outcome, outcome[None], 0)[0]
    return Decision(p_above, p_below, above, below, outcome, look)


def reach(evidence: Evidence, levels: Float64[Array, " look"]) -> tuple[Array, Array]:
    """How far below and above the mean the interval of each look ends: the ends beyond which `decide` has a fact."""
    seeds, found, answers = evidence
    with np.errstate(invalid="ignore"):
        own = stdtrit(degrees(seeds, found), 1 - levels) * np.sqrt(found.variance)
    if answers is None:
        return own, own
    below, above = example_reach(answers, levels)
    return np.maximum(own, below), np.maximum(own, above)


def chance(
    now: Evidence, later: Int64[Array, " look"], levels: Float64[Array, " look"], edge: Array, matters: Array
) -> Float64[Array, "... look"]:
    """The chance that a claim without a fact gets one at a later look, judged by the seeds that there are.

    `now` is one look, the last; a and δ have an axis for the look.
    """
    seeds, found, answers = now
    of_one_seed = seeds * found.of_seeds
    then = found._replace(of_seeds=of_one_seed / later, of_examples=found.of_examples + np.zeros(len(later)))
    below, above = reach(Evidence(later, then, answers), levels)
    step = np.sqrt(of_one_seed * (1 / seeds - 1 / later))  # of the mean, from now till then
    up, down = (found.mean - (edge + below)) / step, (matters - above - found.mean) / step
    return np.minimum(1.0, stdtr(seeds - 1, up) + stdtr(seeds - 1, down))  # type: ignore[no-any-return]


def examples_needed(now: Evidence, examples: int, level: float, edge: float, matters: float) -> int | None:
    """How many test examples would decide a claim at even odds, where they limit it and not the seeds; else None.

    `now` is one look, the last; `level` is its level, and `examples` how many there are.
    """
    mean, _, of_examples = (float(part[0]) for part in now.found)
    gap = max(mean - edge, matters - mean)
    if gap <= 0:
        return None
    needed = examples * of_examples * (float(ndtri(1 - level)) / gap) ** 2
    if now.answers is not None:  # as many as show, without one answer that differs, that so few do
        needed = max(needed, -np.log(level) * now.answers.largest / gap)
    return int(np.ceil(needed)) if needed > examples else None


def _no_less(p: Array, answers: Answers, side: int, gap: Array, levels: Array) -> Array:
    """Where p would show a fact: the greater of p and the least level at which the test answers alone allow it.

    The hypothesis is off by `gap`; `side` is 0 if the truth could lie below, 1 if above.
    """
    shown = p <= levels
    if not shown.any():
        return p
    sums, squares = (np.broadcast_to(part, (2, *p.shape))[:, shown] for part in (answers.sums, answers.squares))
    few = answers._replace(sums=sums, squares=squares)
    gaps = np.broadcast_to(gap, p.shape)[shown]
    low, high = np.full(gaps.shape, np.log(LEAST_P)), np.full(gaps.shape, np.log(0.5))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        beyond = example_reach(few, np.exp(middle))[side] <= gaps
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    least = p.copy()
    least[shown] = np.maximum(p[shown], np.exp(high))
    return least
