"""The paired numbers that a claim stands on: of seeds and test examples, or of seeds alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.analysis import statistics
from assay.core.config import split_variant
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.scoring.metrics import RECALL, lookup, per_example, per_seed, subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float64

    from assay.analysis.statistics import Estimate
    from assay.core.config.claim import Claim
    from assay.scoring.predictions import Array, Predictions
    from assay.scoring.record import Evaluation, Record


class ClaimArm(NamedTuple):
    """One of the two variants of a claim; `key` of params.yaml names it, for messages."""

    record: Record
    variant: str
    predictions: Predictions
    key: str


class Sample(NamedTuple):
    """The paired numbers that a claim stands on, of the seeds that both sides have, in the order asked for.

    Attributes:
        table: for each seed the difference, arm minus rival, or of a ratio the logarithm of arm / rival, or of the
            arm's own number where there is no rival; a column for each test example, or one for all.
        ratio: whether it holds logarithms.
        examples: whether the columns are test examples.
        answers: the differences of right and wrong answers, each times its weight, which bound what few of them show;
            None where the metric is no share of them. `answer` is the greatest difference that one of them makes.
        reason: why there is nothing to decide from; empty where there is.
    """

    seeds: tuple[int, ...]
    table: Float64[Array, "seed example"]
    ratio: bool = False
    examples: bool = False
    answers: Float64[Array, "seed example"] | None = None
    answer: float = 1.0
    reason: str = ""

    def estimate(self, count: int | None = None) -> Estimate:
        """The mean over all seeds, or the first `count`, with the 95 % interval of this claim alone."""
        if self.reason:
            return statistics.Estimate(None, ratio=self.ratio, reason=self.reason)
        of = statistics.ratio_of if self.ratio else statistics.mean_of
        return of(self.table[:count], self.seeds[:count], self.examples)


def find(evaluations: Mapping[str, Evaluation], name: str, key: str) -> ClaimArm:
    """The variant that `arm` (its first) or `arm/variant` names under a key of params.yaml.

    Raises:
        AssayError: the arm has no such variant; the line lists those that it has.
    """
    arm, variant = split_variant(name)
    record, predictions = evaluations[arm].record, evaluations[arm].predictions
    variant = variant or next(iter(record.variants))
    if variant not in predictions:
        raise AssayError(f"{key}: {arm} has no variant {variant!r}; {suggestion(variant, list(record.variants))}")
    return ClaimArm(record, variant, predictions[variant], key)


def sample(claim: Claim, arm: ClaimArm, against: ClaimArm | None, order: Sequence[int]) -> Sample:
    """The numbers of the seeds that both sides have: those of `order` first and as there, then the others.

    Raises:
        AssayError: a side does not have the metric; the line names it.
    """
    about, metric, ratio = lookup(str(claim.metric)), str(claim.metric), claim.verdict == "ratio"
    place = {seed: at for at, seed in enumerate(order)}
    own_seeds = sorted(arm.record.seeds, key=lambda seed: place.get(seed, len(place)))
    seeds = tuple(seed for seed in own_seeds if seed in (against or arm).record.seeds)
    examples = about.basis == "examples"
    sides, right, weights = [], [], np.ones(1)
    for side in filter(None, (arm, against)):
        rows = [side.record.seeds.index(seed) for seed in seeds]
        own = about_metric(metric, side) if examples else None
        sides.append((per_example(metric, own) if own else values(metric, side)[:, None])[rows])
        if own and about.answers:
            answers, weights = map(np.asarray, about.answers(own))
            right.append(answers[rows].astype(np.float64))
    reason = statistics.not_finite(np.concatenate(sides, 1), seeds) if seeds else "no seed is common to both"
    if ratio and not reason and min(side.mean(1).min() for side in sides) <= 0:
        reason = "a ratio needs numbers above 0 on both sides" if against else "a ratio needs numbers above 0"
    if reason:
        return Sample(seeds, np.empty((0, 0)), ratio, examples, reason=reason)
    most = float(weights.max())
    if ratio:  # numbers of each example whose mean is the logarithm of the seed's mean: its first-order expansion
        means = [side.mean(1, keepdims=True) for side in sides]
        most /= min(mean.min() for mean in means)
        sides = [np.log(mean) + (side / mean - 1) for side, mean in zip(sides, means, strict=True)]
        right = [np.log(mean) + (side / mean - 1) for side, mean in zip(right, means, strict=False)]
    table, *differ = (one[0] - one[1] if against else one[0] for one in (sides, right) if one)
    return Sample(seeds, table, ratio, examples, weights * differ[0] if differ else None, most)


def about_metric(metric: str, side: ClaimArm) -> Predictions:
    """The predictions of a side that a metric of the test set is about.

    Raises:
        AssayError: it has no such number; the line says why.
    """
    try:
        return subject(metric, side.predictions, list(side.record.class_counts))
    except AssayError as error:
        raise AssayError(f"{side.key}: {side.record.arm}/{side.variant} {error}") from None


def values(metric: str, side: ClaimArm) -> Float64[Array, " seed"]:
    """The number of each seed as its record has it; NaN where that has None.

    Raises:
        AssayError: there is no such number.
    """
    if metric.startswith(RECALL):
        return per_seed(metric, about_metric(metric, side))
    record, variant = side.record, side.record.variants[side.variant]
    found: Any = {**record.costs(variant)._asdict(), **dict(variant)}.get(metric)
    if metric.startswith(RECORD):
        found, path = record.record, metric.removeprefix(RECORD)
        for key in path.split("."):
            if not isinstance(found, dict) or key not in found:
                there = sorted(found) if isinstance(found, dict) else []
                raise AssayError(f"{side.key}: the record of {record.arm} has no {path}; {suggestion(key, there)}")
            found = found[key]
    if isinstance(found, int | float):
        found = [found] * len(record.seeds)
    known = isinstance(found, list) and all(isinstance(one, int | float | None) for one in found)
    if not known or len(found) != len(record.seeds):
        lacking = f"{record.arm}/{side.variant} has no {metric} for each seed"
        raise AssayError(f"{side.key}: {lacking}; choose another metric")
    return np.array(found, dtype=np.float64)
