"""Means over seeds and test examples, the parts of their variance, and how far off a few test answers can be.

Seeds and examples are crossed: every seed's network answers every example, and both are samples. That is the design of
multi-reader studies in radiology, and their analysis is taken over: a two-way table of differences and its mean squares
(Obuchowski and Rockette 1995; Hillis 2007, "A comparison of denominator degrees of freedom methods for multiple
observer ROC analysis", Statistics in Medicine 26). `assay.analysis.rule` decides claims with it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import gammainccinv, gammaincinv, stdtrit

from assay.core.config.claim import CONFIDENCE
from assay.scoring.metrics import per_example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float64

    from assay.scoring.predictions import Array, Predictions

LARGEST = 1e100  # a greater number counts as infinite: its square must be finite
LEAST_ERROR = 1e-12  # of the numbers themselves; below it, an error is what rounding left of 0
MOST_DEGREES = 1e6  # a t distribution of more is the normal one
ONE_EXAMPLE = "one test example; an interval needs two or more"


class Moments(NamedTuple):
    """Means over seeds and examples, and the two parts of their variance that more seeds and more examples reduce."""

    mean: Array
    of_seeds: Array
    of_examples: Array

    @property
    def variance(self) -> Array:
        """Variance of the mean."""
        return self.of_seeds + self.of_examples


class Answers(NamedTuple):
    """Test answers that differ between two sides; each example counts by its mean over seeds.

    `sums` and `squares` are over the examples that the arm answers better, and over those that it answers worse;
    `largest` is the greatest difference that one of the test set's `examples` can make.
    """

    sums: Float64[Array, "side ..."]
    squares: Float64[Array, "side ..."]
    examples: int
    largest: float = 1.0


class Estimate(NamedTuple):
    """The mean of a difference or a ratio over the common seeds; None where there is none.

    `error` is its standard error, of a ratio that of its logarithm; without one, `reason` says why.
    """

    value: float | None
    error: float | None = None
    degrees: float = MOST_DEGREES
    ratio: bool = False
    reason: str = ""

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """The interval that holds the truth with this confidence; None where there is no error."""
        if self.value is None or self.error is None:
            return None
        reach = float(stdtrit(self.degrees, (1 + confidence) / 2)) * self.error
        if self.ratio:
            middle = math.log(self.value)
            return exponential(middle - reach), exponential(middle + reach)
        return self.value - reach, self.value + reach


def paired_difference(
    metric: str, arm: Predictions, against: Predictions, arm_seeds: Sequence[int], against_seeds: Sequence[int]
) -> Estimate:
    """The difference `arm` minus `against` in a metric of the same test examples, in the same order.

    Networks are compared with the network of the same seed, so only the seeds that both have count; a row of each side
    is one of its seeds. With fewer than two of them, or of test examples, there is no interval.
    That the examples are the same is for `record.read_all` to see to.
    """
    seeds = tuple(seed for seed in arm_seeds if seed in against_seeds)
    with np.errstate(invalid="ignore"):  # infinity minus infinity: mean_of refuses what is not finite
        own = per_example(metric, arm.of_seeds([arm_seeds.index(seed) for seed in seeds]))
        table = own - per_example(metric, against.of_seeds([against_seeds.index(seed) for seed in seeds]))
    return mean_of(table, seeds, examples=True)


def mean_of(table: Float64[Array, "seed example"], seeds: tuple[int, ...], examples: bool = False) -> Estimate:
    """The mean of a table of seeds by examples, both drawn at random, with Satterthwaite's degrees of freedom.

    A table of one column holds a number a seed; if that is a test example (`examples`), there is no interval. Where the
    estimated error is 0 there is none: numbers that happen not to vary are not exact.
    """
    if not seeds:
        return Estimate(None, reason="no seed is common to both")
    if reason := not_finite(table, seeds):
        return Estimate(None, reason=reason)
    value = float(table.mean())
    if len(seeds) < 2:
        return Estimate(value, reason="one common seed; an interval needs two or more")
    found = moments(table)
    if not found.variance:
        return Estimate(value, reason=no_variance(table))
    if examples and table.shape[1] == 1:
        return Estimate(value, reason=ONE_EXAMPLE)
    own = found.of_seeds**2 / (len(seeds) - 1) + found.of_examples**2 / max(1, table.shape[1] - 1)
    degrees = min(MOST_DEGREES, float(found.variance**2 / own))
    return Estimate(value, math.sqrt(found.variance), degrees)


def share_interval(right: Float64[Array, "seed example"], seeds: Sequence[int]) -> tuple[float, float] | None:
    """The interval of a share of right answers (1, else 0), from 0 to 1, over seeds and examples.

    Its ends are the wider of those of `mean_of` and of `example_reach`, the latter of the right or the wrong answers,
    whichever are fewer: where all are right, it says how many wrong ones would go unseen. None for a single seed.
    """
    if len(seeds) < 2:
        return None
    found = mean_of(right, tuple(seeds), examples=True)
    value = float(right.mean())
    below, above = example_reach(answers(right - 1 if value > 0.5 else right), (1 - CONFIDENCE) / 2)
    low, high = found.interval() or (value, value)
    return max(0.0, min(low, value - float(below))), min(1.0, max(high, value + float(above)))


def ratio_of(logarithms: Float64[Array, "seed example"], seeds: tuple[int, ...], examples: bool = False) -> Estimate:
    """The geometric mean of ratios, given their logarithms: the logarithm has the interval of a mean."""
    found = mean_of(logarithms, seeds, examples)
    return found._replace(value=None if found.value is None else exponential(found.value), ratio=True)


def exponential(power: float) -> float:
    """Exponential function, kept between 1e-200 and 1e200 so that no interval ends at infinity."""
    return math.exp(min(460.0, max(-460.0, power)))


def not_finite(table: Float64[Array, "seed example"], seeds: Sequence[int]) -> str:
    """The seeds that have a number that is not finite, as a reason; empty where all are finite."""
    finite = [bool((np.abs(row) <= LARGEST).all()) for row in table]
    named = ", ".join(str(seed) for seed, fine in zip(seeds, finite, strict=True) if not fine)
    return f"not a finite number (seed {named})" if named else ""


def no_variance(table: Float64[Array, "seed example"]) -> str:
    """The reason for which numbers that do not vary between seeds decide nothing."""
    examples = f" and {table.shape[1]} test examples" if table.shape[1] > 1 else ""
    return f"no variance between {len(table)} seeds{examples}: nothing to estimate an error from"


def moments(table: Float64[Array, "... seed example"]) -> Moments:
    """Mean and variance of tables whose rows (two or more) and columns are both samples.

    With mean squares of S seeds, of N examples and of what is left, the mean's variance is estimated, without bias but
    for the bound at 0, by (seeds + max(examples - rest, 0)) / (S N). What rounding leaves of a variance of 0 is 0.
    """
    seeds, examples = table.shape[-2:]
    rows, columns, mean = table.mean(-1), table.mean(-2), table.mean((-2, -1))
    of_seeds = rows.var(-1, ddof=1) / seeds
    of_examples = np.zeros_like(mean)
    if examples > 1:
        mean_square = seeds * columns.var(-1, ddof=1)
        total = np.square(table - mean[..., None, None]).sum((-2, -1))
        rest = total - examples * seeds * (seeds - 1) * of_seeds - (examples - 1) * mean_square
        of_examples = np.maximum(0, mean_square - rest / ((seeds - 1) * (examples - 1))) / (seeds * examples)
    rounding = np.square(LEAST_ERROR * np.abs(table).max((-2, -1)))
    return Moments(mean, *(np.where(part > rounding, part, 0.0) for part in (of_seeds, of_examples)))


def answers(table: Float64[Array, "... seed example"], largest: float = 1.0) -> Answers:
    """Sum up differences of answers, right (1) or wrong (0), for `example_reach`; `largest` is as in `Answers`."""
    means = table.mean(-2)
    sides = np.stack([np.maximum(means, 0), np.maximum(-means, 0)])
    return Answers(sides.sum(-1), np.square(sides).sum(-1), table.shape[-1], largest)


def example_reach(found: Answers, level: Array | float) -> tuple[Array, Array]:
    """How far below, and how far above the difference found the truth may lie, for the test examples alone.

    The normal distribution says nothing where a handful of answers differ. So gains and losses each have the limits of
    a weighted sum of Poisson counts (Fay and Feuer 1997, Statistics in Medicine 16), which are exact where all seeds
    agree on each example (Garwood 1936), and allow for an example unlike all that were seen. The two are combined as in
    Newcombe 1998, Statistics in Medicine 17. Where many answers differ, the interval from seeds and examples is wider.
    `level`, at most 1/2, is the chance that the truth lies further off, on either side.
    """
    sums, squares = found.sums + found.largest, found.squares + found.largest**2
    more = squares / sums * gammainccinv(sums**2 / squares, level) - found.sums
    there = found.sums > 0
    sums, squares = np.where(there, found.sums, 1.0), np.where(there, found.squares, 1.0)
    fewer = np.where(there, sums - squares / sums * gammaincinv(sums**2 / squares, level), 0.0)
    below, above = np.hypot(more[1], fewer[0]), np.hypot(more[0], fewer[1])
    return below / found.examples, above / found.examples
