"""Branch minus base, for the same arm: paired by seed, with Student's t interval over seeds.

Both sides' per-seed metrics are in git, so every clone comes to the same answer, whatever its cache holds. The interval
speaks of seeds alone, on this test set; the page of the report has those over seeds and test examples together.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from assay.evaluation.statistics import CONFIDENCE, mean_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.review.side import Evaluation, Side

FEWEST_SEEDS = 3
"""Two equal differences of an accuracy, which moves in steps of one test example, happen by chance too often."""


@dataclass(frozen=True)
class Difference:
    """A metric of one variant on the branch, and how it differs from the base.

    Attributes:
        metric: which.
        mean: over the branch's seeds.
        difference: mean paired difference over the common seeds; None where there is none.
        interval: of that difference; None where it cannot be had.
        reason: why; else empty.
        more_is_better: the direction in which the metric improves.
    """

    metric: str
    mean: float
    difference: float | None = None
    interval: tuple[float, float] | None = None
    reason: str = ""
    more_is_better: bool = True

    @property
    def direction(self) -> int:
        """1 where it is significantly better, -1 where worse, else 0."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return 0
        return 1 if (self.interval[0] > 0) == self.more_is_better else -1


def changed(branch: Side, base: Side) -> list[str]:
    """The variants, `<arm>/<variant>`, whose test results are not those of the base; the baseline's first."""
    names = [
        f"{arm}/{variant}"
        for arm, one in branch.evaluations.items()
        for variant in one.variants
        if arm not in base.evaluations or one.variants[variant] != base.evaluations[arm].variants.get(variant)
    ]
    return sorted(names, key=lambda name: not name.startswith("baseline/"))


def between(
    branch: Side, base: Side, name: str, metric: str, comparisons: int = 1, more_is_better: bool | None = None
) -> Difference | None:
    """The difference of one variant in one metric; None where the branch has no such numbers.

    Args:
        branch: one side.
        base: the other.
        name: `<arm>/<variant>`.
        metric: a key of the variants whose value is a list with a number a seed.
        comparisons: how many are made at once: each interval then has a confidence of 1 - 0.05 / comparisons, so that
            noise makes one of them all exclude 0 at most once in twenty times (Bonferroni).
        more_is_better: the direction in which the metric improves; None: that of accuracy, or of a loss.
    """
    arm, _, variant = name.partition("/")
    ours, theirs = (side.evaluations.get(arm) for side in (branch, base))
    new = _by_seed(ours, variant, metric)
    if ours is None or not new:
        return None
    old = _by_seed(theirs, variant, metric)
    mean = fmean(new.values())
    if theirs is None or not old:
        return Difference(metric, mean, reason="new")
    if ours.data_digest != theirs.data_digest:
        return Difference(metric, mean, reason="other data")
    seeds = tuple(seed for seed in new if seed in old)
    if not seeds:
        return Difference(metric, mean, reason="no common seed")
    found = mean_of(np.array([[new[seed] - old[seed]] for seed in seeds]), seeds)
    if len(seeds) < FEWEST_SEEDS:
        return Difference(metric, mean, found.value, reason=f"fewer than {FEWEST_SEEDS} common seeds")
    rises = metric == "accuracy" if more_is_better is None else more_is_better
    interval = found.interval(1 - (1 - CONFIDENCE) / comparisons)
    reason = found.reason if found.value else ""  # that equal numbers are equal needs none
    return Difference(metric, mean, found.value, interval, reason, more_is_better=rises)


def _by_seed(evaluation: Evaluation | None, variant: str, metric: str) -> Mapping[int, float]:
    if evaluation is None or variant not in evaluation.variants:
        return {}
    values = evaluation.variants[variant].get(metric)
    if not isinstance(values, list) or len(values) != len(evaluation.seeds):
        return {}
    if not all(isinstance(value, int | float) for value in values):
        return {}
    return dict(zip(evaluation.seeds, values, strict=True))
