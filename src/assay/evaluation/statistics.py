"""Differences and ratios, paired by seed, with intervals and p values over seeds and test examples.

Seeds and examples are crossed: every seed's network answers every example, and both are samples. That is the design of
multi-reader studies in radiology, and their analysis is taken over: a two-way table of differences, its mean squares,
and a t distribution whose degrees of freedom weigh how much of the uncertainty rests on the few seeds (Obuchowski and
Rockette 1995; Hillis 2007, "A comparison of denominator degrees of freedom methods for multiple observer ROC analysis",
Statistics in Medicine 26). How often such an interval holds the truth is measured by `benchmarks/coverage.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr, stdtrit

from assay.evaluation.scoring.metrics import per_example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float64

    from assay.evaluation.scoring.metrics import Metric
    from assay.evaluation.scoring.predictions import Array, Predictions

CONFIDENCE = 0.95
LARGEST = 1e100  # a greater number counts as infinite: its square must be finite
LEAST_ERROR = 1e-12  # of the numbers themselves; below it, an error is what rounding left of 0
MOST_DEGREES = 1e6  # a t distribution of more is the normal one
ONE_EXAMPLE = "one test example; an interval needs two or more"
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """What was found of a difference or a ratio.

    Attributes:
        value: the mean over the common seeds; None where there is none.
        seeds: the common seeds, on which it stands.
        error: its standard error, of a ratio that of its logarithm; None where it cannot be estimated, 0 only where
            the value is exact by construction.
        degrees: of freedom of the t distribution.
        ratio: whether it is a ratio: interval and p value are then those of its logarithm.
        reason: why there is no interval; empty where there is one.
    """

    value: float | None
    seeds: tuple[int, ...] = ()
    error: float | None = None
    degrees: float = MOST_DEGREES
    ratio: bool = False
    reason: str = ""

    def interval(self, confidence: float = CONFIDENCE) -> Interval | None:
        """The interval that holds the truth with this confidence; None where there is no error."""
        if self.value is None or self.error is None:
            return None
        if not self.error:
            return self.value, self.value
        reach = float(stdtrit(self.degrees, (1 + confidence) / 2)) * self.error
        if self.ratio:
            middle = math.log(self.value)
            return _exp(middle - reach), _exp(middle + reach)
        return self.value - reach, self.value + reach

    def p_value(self, edge: float) -> float | None:
        """Two-sided, of the hypothesis that the truth is `edge`; None where there is no error.

        The interval of confidence 1 - p ends at the edge. An exact number (its error is 0) has p = 0.
        """
        if self.value is None or self.error is None:
            return None
        if not self.error:
            return 0.0
        gap = math.log(self.value / edge) if self.ratio else self.value - edge
        return float(2 * stdtr(self.degrees, -abs(gap) / self.error))


def paired_difference(
    metric: Metric, arm: Predictions, against: Predictions, arm_seeds: Sequence[int], against_seeds: Sequence[int]
) -> Estimate:
    """The difference `arm` minus `against` in a metric of the test set.

    Networks are compared with the network of the same seed, so only the seeds that both have count. With fewer than
    two of them, or of test examples, there is no interval: one says nothing of how they vary. Swapping the sides
    mirrors everything.

    Args:
        metric: what is compared.
        arm: predictions for the examples of the test set, a row a seed.
        against: likewise, for the same examples in the same order.
        arm_seeds: the seeds of `arm`'s rows.
        against_seeds: the seeds of `against`'s rows.

    Raises:
        ValueError: the two were not asked about the same number of examples.
    """
    if arm.correct.shape[1] != against.correct.shape[1]:
        raise ValueError(f"{arm.correct.shape[1]} examples against {against.correct.shape[1]}: not the same test set")
    seeds, rows, rival_rows = common(arm_seeds, against_seeds)
    if not seeds:
        return Estimate(None, reason="no seed is common to both")
    with np.errstate(invalid="ignore"):  # infinity minus infinity: mean_of refuses what is not finite
        table = per_example(metric, arm.of_seeds(rows)) - per_example(metric, against.of_seeds(rival_rows))
    found = mean_of(table, seeds)
    return found if table.shape[1] > 1 else without_error(found, ONE_EXAMPLE)


def common(arm_seeds: Sequence[int], against_seeds: Sequence[int]) -> tuple[tuple[int, ...], list[int], list[int]]:
    """The seeds that both have, in the arm's order, and where each side has them."""
    seeds = tuple(seed for seed in arm_seeds if seed in against_seeds)
    return seeds, [list(arm_seeds).index(seed) for seed in seeds], [list(against_seeds).index(seed) for seed in seeds]


def mean_of(table: Float64[Array, "seed example"], seeds: tuple[int, ...]) -> Estimate:
    """The mean of a table of seeds by examples, both drawn at random; one column is a number a seed.

    Where the estimated error is 0 there is none: numbers that happen not to vary are not exact.
    """
    if reason := _not_finite(table, seeds):
        return Estimate(None, seeds, reason=reason)
    value = float(table.mean())
    if len(seeds) < 2:
        return Estimate(value, seeds, reason="one common seed; an interval needs two or more")
    error, degrees = crossed_error(table)
    if error <= LEAST_ERROR * float(np.abs(table).max()):
        examples = f" and {table.shape[1]} test examples" if table.shape[1] > 1 else ""
        return Estimate(
            value,
            seeds,
            reason=f"no variance between {len(seeds)} seeds{examples}: nothing to estimate an error from",
        )
    return Estimate(value, seeds, error, degrees)


def without_error(found: Estimate, reason: str) -> Estimate:
    """The same value without an interval; a reason that there was already stays."""
    return replace(found, error=None, reason=found.reason or reason)


def _not_finite(table: Float64[Array, "seed example"], seeds: tuple[int, ...]) -> str:
    """The seeds that have a number that is not finite, as a reason; empty where all are finite."""
    finite = [bool((np.abs(row) <= LARGEST).all()) for row in table]
    named = ", ".join(str(seed) for seed, fine in zip(seeds, finite, strict=True) if not fine)
    return f"not a finite number (seed {named})" if named else ""


def _exp(power: float) -> float:
    """Exponential function, kept between 1e-200 and 1e200 so that no interval ends at infinity."""
    return math.exp(min(460.0, max(-460.0, power)))


def ratio_of(arm: Float64[Array, " seed"], against: Float64[Array, " seed"], seeds: tuple[int, ...]) -> Estimate:
    """The geometric mean over seeds of `arm / against`, paired: its logarithm has the t interval of a mean."""
    if reason := _not_finite(np.stack([arm, against], 1), seeds):
        return Estimate(None, seeds, ratio=True, reason=reason)
    if min(arm.min(), against.min()) <= 0:
        return Estimate(None, seeds, ratio=True, reason="a ratio needs numbers above 0 on both sides")
    logarithm = mean_of(np.log(arm / against)[:, None], seeds)
    value = None if logarithm.value is None else _exp(logarithm.value)
    return Estimate(value, seeds, logarithm.error, logarithm.degrees, ratio=True, reason=logarithm.reason)


def crossed_error(table: Float64[Array, "seed example"]) -> tuple[float, float]:
    """Standard error and degrees of freedom of the mean of a table whose rows and columns are both samples.

    With mean squares of seeds, of examples and of what is left, the mean's variance is estimated, without bias but for
    the bound at 0, by (seeds + max(examples - rest, 0)) / (S N); Satterthwaite's formula gives the degrees of freedom,
    S - 1 where seeds are all that varies and more as examples count (Hillis 2007).
    """
    if np.ptp(table) == 0:  # sums of equal numbers differ in their last bits
        return 0.0, MOST_DEGREES
    seeds, examples = table.shape
    of_seeds = examples * float(table.mean(1).var(ddof=1))
    of_examples = 0.0
    if examples > 1:
        mean_square = seeds * float(table.mean(0).var(ddof=1))
        total = float(np.square(table - table.mean()).sum())
        rest = total - (seeds - 1) * of_seeds - (examples - 1) * mean_square
        of_examples = max(0.0, mean_square - rest / ((seeds - 1) * (examples - 1)))
    both = of_seeds + of_examples
    own = of_seeds**2 / (seeds - 1) + of_examples**2 / max(1, examples - 1)
    degrees = min(MOST_DEGREES, both**2 / own) if own else MOST_DEGREES
    return math.sqrt(both / (seeds * examples)), degrees


def holm(p_values: Sequence[float | None], alpha: float = 1 - CONFIDENCE) -> tuple[list[float | None], list[float]]:
    """Correct for the number of tests (Holm 1979): adjusted p values, and the confidence at which each is tested.

    Tests are taken from the least p value on, the k-th of m at the level alpha / (m - k + 1), until the first that is
    not below its level; that one and all after it are tested at its level. So an interval of the confidence returned
    has its edge outside exactly where the adjusted p value is at most alpha. Exact results (p = 0) and those without
    a p value are no tests: they do not count.
    """
    adjusted: list[float | None] = [None if p is None else 0.0 for p in p_values]
    confidences = [1 - alpha] * len(p_values)
    order = sorted((p, i) for i, p in enumerate(p_values) if p)
    least, level = 0.0, 0.0
    stopped = False
    for k, (p, i) in enumerate(order):
        left = len(order) - k
        least = max(least, min(1.0, left * p))
        level = level if stopped else alpha / left
        stopped = stopped or p > level
        adjusted[i], confidences[i] = least, 1 - level
    return adjusted, confidences
