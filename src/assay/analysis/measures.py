"""What a claim's metric means: the paired numbers of two variants, by seed and where there are any by test example.

Metrics of the test set are means over examples too, so their differences rest on both (`statistics`). Everything else
is a number a seed: a count, a step read off the curves, or what the method wrote into its record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis import statistics
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.scoring.cost import costs
from assay.scoring.metrics import measured, per_example

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float64

    from assay.analysis.statistics import Estimate
    from assay.core.config.claim import Claim
    from assay.scoring.predictions import Array, Predictions
    from assay.scoring.record import Record


@dataclass(frozen=True)
class Side:
    """One of the two variants of a claim.

    Attributes:
        record: of its arm.
        variant: its name.
        predictions: on the test set.
        key: the key of params.yaml that names it, for messages.
    """

    record: Record
    variant: str
    predictions: Predictions
    key: str

    @property
    def name(self) -> str:
        """`<arm>/<variant>`."""
        return f"{self.record.arm}/{self.variant}"


@dataclass(frozen=True)
class Sample:
    """The paired numbers that a claim stands on.

    Attributes:
        seeds: those that both sides have, in the order asked for.
        table: for each seed the difference, arm minus rival, or of a ratio the logarithm of arm / rival, or of the
            arm's own number where there is no rival; a column for each test example, or one for all.
        ratio: whether it holds logarithms.
        examples: whether the columns are test examples.
        answer: the greatest difference that one right or wrong answer makes; None where the numbers are none.
        reason: why there is nothing to decide from; empty where there is.
    """

    seeds: tuple[int, ...]
    table: Float64[Array, "seed example"]
    ratio: bool = False
    examples: bool = False
    answer: float | None = None
    reason: str = ""

    def estimate(self, count: int | None = None) -> Estimate:
        """The mean over all seeds, or the first `count`, with the 95 % interval of this claim alone."""
        rows, seeds = self.table[:count], self.seeds[:count]
        if self.reason:
            return statistics.Estimate(None, seeds, ratio=self.ratio, reason=self.reason)
        return (statistics.ratio_of if self.ratio else statistics.mean_of)(rows, seeds, self.examples)


def sample(claim: Claim, arm: Side, against: Side | None, order: Sequence[int]) -> Sample:
    """The numbers of the seeds that both sides have: those of `order` first and as there, then the others.

    Raises:
        AssayError: a side does not have the metric; the line names it.
    """
    place = {seed: at for at, seed in enumerate(order)}
    own_seeds, rival_seeds = arm.record.seeds, (against or arm).record.seeds
    seeds, *_ = statistics.common(sorted(own_seeds, key=lambda seed: place.get(seed, len(place))), rival_seeds)
    metric, ratio = str(claim.metric), claim.verdict == "ratio"
    sides = [_table(metric, side)[[side.record.seeds.index(seed) for seed in seeds]] for side in (arm, against) if side]
    examples = metric in measured()
    reason = statistics.not_finite(np.concatenate(sides, 1), seeds) if seeds else "no seed is common to both"
    if ratio and not reason and min(side.mean(1).min() for side in sides) <= 0:
        reason = "a ratio needs numbers above 0 on both sides" if against else "a ratio needs numbers above 0"
    if reason:
        return Sample(seeds, np.empty((0, 0)), ratio, examples, reason=reason)
    answer = None if metric != "accuracy" else 1 / min(side.mean(1).min() for side in sides) if ratio else 1.0
    own, *rivals = [_logarithms(side) for side in sides] if ratio else sides
    return Sample(seeds, own - rivals[0] if rivals else own, ratio, examples, answer)


def _logarithms(table: Float64[Array, "seed example"]) -> Float64[Array, "seed example"]:
    """Numbers of each example whose mean is the logarithm of the seed's mean: its first-order expansion."""
    means = table.mean(1, keepdims=True)
    return np.log(means) + (table / means - 1)  # type: ignore[no-any-return]


def _table(metric: str, side: Side) -> Float64[Array, "seed example"]:
    if metric in measured():
        return per_example(metric, side.predictions)
    return values(metric, side)[:, None]


def values(metric: str, side: Side) -> Float64[Array, " seed"]:
    """The number of each seed; NaN where the record has None.

    Raises:
        AssayError: there is no such number.
    """
    seeds, variant = side.record.seeds, side.record.variants[side.variant]
    if metric.startswith(RECORD):
        found = _recorded(side, metric.removeprefix(RECORD))
    else:
        found = {**costs(side.record, variant)._asdict(), **dict(variant)}.get(metric)
    if isinstance(found, int | float):
        found = [found] * len(seeds)
    known = isinstance(found, list) and all(isinstance(one, int | float | None) for one in found)
    if not known or len(found) != len(seeds):
        raise AssayError(f"{side.key}: {side.name} has no {metric} for each seed; choose another metric")
    return np.array(found, dtype=np.float64)


def _recorded(side: Side, path: str) -> Any:
    """What stands in the record under `a.b.c`."""
    found: Any = side.record.record
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            there = sorted(found) if isinstance(found, dict) else []
            raise AssayError(f"{side.key}: the record of {side.record.arm} has no {path}; {suggestion(key, there)}")
        found = found[key]
    return found
