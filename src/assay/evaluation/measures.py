"""What a claim's metric means: for two variants the numbers of each seed, and the estimate of how they differ.

Metrics of the test set are means over examples too, so their differences rest on both (`statistics`). Everything else
is a number a seed: a count, a step read off the curves, or what the method wrote into its record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.config.claim import BASES, MEASURED, RECORD
from assay.config.parsing import suggestion
from assay.evaluation import curves as curves_
from assay.evaluation import statistics
from assay.evaluation.cost import costs
from assay.evaluation.statistics import Estimate
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float64

    from assay.config.claim import Claim
    from assay.evaluation.curves import Curve, Curves
    from assay.evaluation.scoring.predictions import Array, Predictions
    from assay.evaluation.scoring.record import Record


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
class Values:
    """A number for each seed of a side; `late` is how many of them are only known to be at least so great."""

    seeds: tuple[int, ...]
    numbers: Float64[Array, " seed"]
    late: int = 0


def estimate(claim: Claim, arm: Side, against: Side | None, curves: Curves) -> tuple[Estimate, int]:
    """What was found, and how many seeds of the arm never reached what `steps_to_match` asks for.

    An exact metric (`BASES`) has the error 0, whatever the number of seeds; no other metric has.

    Raises:
        AssayError: a side does not have the metric; the line names it.
    """
    metric = str(claim.metric)
    if metric in MEASURED and against is not None and claim.verdict != "ratio":
        found = statistics.paired_difference(
            metric, arm.predictions, against.predictions, arm.record.seeds, against.record.seeds
        )
        return found, 0
    own = values(metric, arm, against, curves)
    found = _estimate(claim, own, values(metric, against, against, curves) if against else None)
    if BASES.get(metric) == "exact" and found.value is not None:
        found = replace(found, error=0.0, reason="")
    elif metric in MEASURED and arm.record.test_examples < 2:
        found = statistics.without_error(found, statistics.ONE_EXAMPLE)
    return found, own.late if found.seeds else 0


def _estimate(claim: Claim, own: Values, rival: Values | None) -> Estimate:
    if rival is None:
        return statistics.mean_of(own.numbers[:, None], own.seeds)
    seeds, rows, rival_rows = statistics.common(own.seeds, rival.seeds)
    if not seeds:
        return Estimate(None, reason="no seed is common to both")
    sides = own.numbers[rows], rival.numbers[rival_rows]
    if claim.verdict == "ratio":
        return statistics.ratio_of(*sides, seeds)
    with np.errstate(invalid="ignore"):  # infinity minus infinity: mean_of refuses what is not finite
        return statistics.mean_of((sides[0] - sides[1])[:, None], seeds)


def values(metric: str, side: Side, against: Side | None, curves: Curves) -> Values:
    """The numbers of each seed.

    Args:
        metric: any but `steps_to_match` needs no rival.
        side: whose.
        against: whose best validation accuracy is to be matched.
        curves: by arm, then split.

    Raises:
        AssayError: there is no such number.
    """
    seeds, variant = tuple(side.record.seeds), side.record.variants[side.variant]
    if metric == "steps_to_match":
        return _steps_to_match(side, against or side, curves)
    if metric.startswith(RECORD):
        found = _recorded(side, metric.removeprefix(RECORD))
    else:
        found = {**costs(side.record, variant)._asdict(), **dict(variant)}.get(metric)
    if isinstance(found, int | float):
        found = [found] * len(seeds)
    known = isinstance(found, list) and all(isinstance(one, int | float | None) for one in found)
    if not known or len(found) != len(seeds):
        raise AssayError(f"{side.key}: {side.name} has no {metric} for each seed; choose another metric")
    return Values(seeds, np.array(found, dtype=np.float64))  # None becomes NaN


def _recorded(side: Side, path: str) -> Any:
    """What stands in the record under `a.b.c`."""
    found: Any = side.record.record
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            there = sorted(found) if isinstance(found, dict) else []
            raise AssayError(f"{side.key}: the record of {side.record.arm} has no {path}; {suggestion(key, there)}")
        found = found[key]
    return found


def _steps_to_match(side: Side, against: Side, curves: Mapping[str, dict[str, Curve]]) -> Values:
    """The first step at which the validation accuracy of a seed is the best that the rival of this seed ever has.

    A seed that never gets there counts as its last step, and as late.
    """
    own, rival = (curves_.of_variant(curves, one.record.arm, one.variant).get("validation") for one in (side, against))
    if own is None or rival is None:
        raise AssayError(f"{side.key}: steps_to_match needs a curve of the validation accuracy; data.validation is 0")
    best = dict(zip(rival.seeds, rival.accuracy.max(1), strict=True))
    seeds = tuple(seed for seed in own.seeds if seed in best)
    reached = np.array([own.accuracy[own.seeds.index(seed)] >= best[seed] for seed in seeds]).reshape(len(seeds), -1)
    steps = np.where(reached.any(1), own.steps[reached.argmax(1)] if len(seeds) else 0, own.steps[-1])
    return Values(seeds, steps.astype(np.float64), int((~reached.any(1)).sum()))
