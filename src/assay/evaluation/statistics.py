"""Differences between two variants, with an interval over seeds and test examples.

Seeds and examples are crossed: every seed's network answers every example. So the bootstrap draws seeds and examples
independently of each other and keeps every answer where a drawn seed meets a drawn example: the pigeonhole bootstrap
(Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2)). What it can and cannot say with five seeds
is measured in tests/unit/evaluation/test_evaluation_coverage.py and written down in docs/evaluation.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay import runtime
from assay.evaluation.metrics import ECE_BINS, confidence_bins, per_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float64, Int64

    from assay.evaluation.metrics import Metric
    from assay.evaluation.predictions import Array, Predictions

CONFIDENCE = 0.95
RESAMPLES = 4000
BATCH = 200  # resamples held in memory at once: 200 of 10,000 examples are 16 MB


@dataclass(frozen=True)
class Difference:
    """A metric of one variant minus that of another, paired by seed.

    Attributes:
        estimate: the mean over the common seeds; None where there are none.
        interval: low and high end; None where it cannot be had.
        seeds: the common seeds, on which the comparison stands.
        reason: why there is no interval; empty where there is one.
    """

    estimate: float | None
    interval: tuple[float, float] | None
    seeds: tuple[int, ...]
    reason: str = ""


def paired_difference(
    metric: Metric,
    arm: Predictions,
    against: Predictions,
    arm_seeds: Sequence[int],
    against_seeds: Sequence[int],
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Difference:
    """The difference `arm` minus `against` in a metric, with a percentile bootstrap interval.

    Networks are compared with the network of the same seed, so only the seeds that both have count. With fewer than
    two of them there is no interval: one seed says nothing of how seeds vary. The resamples depend on the numbers of
    seeds and of examples alone, so the same inputs give the same interval, and swapping the sides mirrors it.

    Args:
        metric: what is compared.
        arm: predictions for the examples of the test set, a row a seed.
        against: likewise, for the same examples in the same order.
        arm_seeds: the seeds of `arm`'s rows.
        against_seeds: the seeds of `against`'s rows.
        confidence: the share of resamples that the interval holds.
        resamples: how many are drawn.

    Raises:
        ValueError: the two were not asked about the same number of examples.
    """
    if arm.correct.shape[1] != against.correct.shape[1]:
        raise ValueError(f"{arm.correct.shape[1]} examples against {against.correct.shape[1]}: not the same test set")
    seeds = tuple(seed for seed in arm_seeds if seed in against_seeds)
    if not seeds:
        return Difference(None, None, (), "no seed is common to both")
    arm = arm.of_seeds([arm_seeds.index(seed) for seed in seeds])
    against = against.of_seeds([against_seeds.index(seed) for seed in seeds])
    estimate = float((per_seed(metric, arm) - per_seed(metric, against)).mean())
    if len(seeds) < 2:
        return Difference(estimate, None, seeds, "one seed is common to both; an interval needs two or more")
    reweighted = _ece_difference(arm, against) if metric == "ece" else _mean_difference(metric, arm, against)
    return Difference(estimate, _interval(reweighted, arm.correct.shape, confidence, resamples), seeds)


def _interval(
    reweighted: Callable[[Float64[Array, "resample example"]], Float64[Array, "resample seed"]],
    shape: tuple[int, ...],
    confidence: float,
    resamples: int,
) -> tuple[float, float]:
    """Bootstrap a mean over seeds; `reweighted` gives each seed's value when examples count as often as drawn."""
    from scipy.stats import bootstrap  # slow to import

    def statistic(
        seeds: Int64[Array, "resample seed"], examples: Int64[Array, "resample example"], axis: int
    ) -> Float64[Array, " resample"]:
        del axis  # always the last: the resamples are rows
        drawn = reweighted(_counts(examples))
        return np.take_along_axis(drawn, seeds, axis=1).mean(1)  # type: ignore[no-any-return]

    count, examples = shape
    result = bootstrap(
        (np.arange(count), np.arange(examples)),  # indices: two samples that scipy draws from independently
        statistic,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=resamples,
        batch=BATCH,
        rng=np.random.default_rng(runtime.key(0, f"bootstrap of {count} seeds and {examples} examples")),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _counts(examples: Int64[Array, "resample example"]) -> Float64[Array, "resample example"]:
    """How often each example was drawn, for each resample."""
    rows, columns = examples.shape
    flat = np.bincount((examples + columns * np.arange(rows)[:, None]).ravel(), minlength=rows * columns)
    return flat.reshape(rows, columns).astype(np.float64)


def _mean_difference(
    metric: Metric, arm: Predictions, against: Predictions
) -> Callable[[Float64[Array, "resample example"]], Float64[Array, "resample seed"]]:
    """For metrics that are means over examples, a resample is a weighted mean: one matrix product for all of them."""
    field = "correct" if metric == "accuracy" else metric
    gap = getattr(arm, field).astype(np.float64) - getattr(against, field).astype(np.float64)
    return lambda counts: counts @ (gap.T / gap.shape[1])


def _ece_difference(
    arm: Predictions, against: Predictions
) -> Callable[[Float64[Array, "resample example"]], Float64[Array, "resample seed"]]:
    """The calibration error of every resample, both sides at once.

    In l1 it is the sum over bins of |sum of (confidence - correct) in the bin| / n: weighted sums, then absolute
    values. The sums of all sides, seeds and bins are one sparse matrix times the counts.
    """
    from scipy.sparse import csr_array

    seeds, examples = arm.correct.shape
    sides = (arm, against)
    gaps = np.stack([side.confidence.astype(np.float64) - side.correct for side in sides]).reshape(-1, examples)
    bins = np.stack([confidence_bins(side) for side in sides]).reshape(-1, examples)
    rows = bins + ECE_BINS * np.arange(2 * seeds)[:, None]
    columns = np.broadcast_to(np.arange(examples), rows.shape)
    sums = csr_array((gaps.ravel(), (rows.ravel(), columns.ravel())), shape=(2 * seeds * ECE_BINS, examples))

    def reweighted(counts: Float64[Array, "resample example"]) -> Float64[Array, "resample seed"]:
        binned = np.abs(sums @ counts.T).reshape(2, seeds, ECE_BINS, -1).sum(2) / examples
        return (binned[0] - binned[1]).T  # type: ignore[no-any-return]

    return reweighted
