"""From a paper's claim to a verdict at these settings.

A claim names a region of differences: `better` says that the arm is better than its rival by more than the margin,
`not_worse` that it is worse by no more than the margin (non-inferiority). Where the whole interval lies in the region
the claim is reproduced, where none of it does the claim is refuted, and otherwise it is undecided.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, ConfigDict

from assay.config import PARAMS_FILE
from assay.evaluation.metrics import Metric, higher_is_better
from assay.evaluation.record import find
from assay.evaluation.statistics import paired_difference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.config import Claim
    from assay.evaluation.record import Evaluation

Verdict = Literal["reproduced", "refuted", "undecided"]
PATH = Path("metrics/claims.json")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class ClaimRecord(BaseModel):
    """A claim with its verdict: one entry of `metrics/claims.json`.

    Attributes:
        id: as in params.yaml, and so are paper, statement, metric, margin and differs_from_paper.
        asks: `better` or `not_worse`.
        arm: `<arm>/<variant>`, the side the claim is about.
        against: likewise, its rival.
        difference: arm minus against in the metric's own unit, the mean over seeds; None where no seed is common.
        interval: 95 %; None where there are fewer than two common seeds.
        seeds: how many are common.
        reason: why it is undecided without an interval; else empty.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    paper: str
    statement: str
    metric: Metric
    asks: Literal["better", "not_worse"]
    margin: float
    arm: str
    against: str
    difference: float | None
    interval: tuple[float, float] | None
    seeds: int
    verdict: Verdict
    reason: str
    differs_from_paper: str


def judge(claim: Claim, evaluations: Mapping[str, Evaluation]) -> ClaimRecord:
    """Decide one claim from the evaluations, by arm.

    Raises:
        AssayError: the claim names a variant that was not evaluated.
    """
    where = f"{PARAMS_FILE}: claims.{claim.id}"
    record, variant, answers = find(evaluations, claim.arm, f"{where}.arm")
    rival, rival_variant, rival_answers = find(evaluations, claim.against, f"{where}.against")
    found = paired_difference(claim.metric, answers, rival_answers, record.seeds, rival.seeds)
    return ClaimRecord(
        id=claim.id,
        paper=claim.paper,
        statement=claim.statement,
        metric=claim.metric,
        asks=claim.verdict,
        margin=claim.margin,
        arm=f"{record.arm}/{variant}",
        against=f"{rival.arm}/{rival_variant}",
        difference=found.estimate,
        interval=found.interval,
        seeds=len(found.seeds),
        verdict=verdict(claim.metric, claim.verdict, claim.margin, found.interval),
        reason=found.reason,
        differs_from_paper=claim.differs_from_paper,
    )


def verdict(metric: Metric, asks: str, margin: float, interval: tuple[float, float] | None) -> Verdict:
    """Decide from the interval of the difference `arm` minus `against`, and from nothing else.

    The end points count as part of the interval: `better` holds for differences above `margin`, `not_worse` for those
    from `-margin` upwards, in the direction in which the metric improves.
    """
    if interval is None:
        return "undecided"
    low, high = interval if higher_is_better(metric) else (-interval[1], -interval[0])
    if asks == "better":
        low_holds, high_holds = low > margin, high > margin
    else:
        low_holds, high_holds = low >= -margin, high >= -margin
    if low_holds:
        return "reproduced"
    return "undecided" if high_holds else "refuted"
