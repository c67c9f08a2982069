"""From the papers' claims to verdicts at these settings.

A claim names a region: `better` says that the arm is better than its rival by more than the margin, `not_worse` that it
is worse by no more than the margin (non-inferiority), `ratio` that the ratio of the two lies on one side of a bound.
Where the whole interval lies in the region the claim is reproduced, where none of it does it is refuted, and otherwise
it is undecided. Intervals are as wide as the number of claims demands (Holm 1979). Counts that follow from params.yaml
are exact; any other number that happens not to vary has no interval, and so decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, ConfigDict

from assay.config import PARAMS_FILE
from assay.evaluation.measures import Side, estimate
from assay.evaluation.scoring.record import find
from assay.evaluation.statistics import CONFIDENCE, Estimate, Interval, holm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.config.claim import Claim
    from assay.evaluation.curves import Curves
    from assay.evaluation.scoring.record import Evaluation

Verdict = Literal["reproduced", "refuted", "undecided", "not tested here"]
PATH = Path("metrics/claims.json")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class ClaimRecord(BaseModel):
    """A claim with its verdict: one entry of `metrics/claims.json`.

    Attributes:
        id: as in params.yaml, and so are paper, statement, metric, margin, at_most, at_least, preset and
            differs_from_paper; empty or None where the claim has none.
        asks: `better`, `not_worse` or `ratio`.
        more_is_better: the direction in which the metric improves.
        arm: `<arm>/<variant>`, the side the claim is about.
        against: likewise, its rival.
        difference: arm minus against in the metric's own unit, the mean over seeds; of a ratio the geometric mean of
            arm / against, or the metric's own value where there is no rival. None where no seed is common.
        interval: the one that decides, of the confidence that Holm's correction asks for; None where there is none.
        confidence: that confidence, 0.95 or more.
        interval_alone: 95 %, as if this claim were the only one.
        p_value: two-sided, of the truth lying on the edge of the region, corrected for the number of claims.
        seeds: how many are common.
        reason: what a reader must know of how it was decided; else empty.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    paper: str
    statement: str
    metric: str = ""
    asks: Literal["better", "not_worse", "ratio", ""] = ""
    more_is_better: bool = True
    margin: float = 0.0
    at_most: float | None = None
    at_least: float | None = None
    arm: str = ""
    against: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = CONFIDENCE
    interval_alone: tuple[float, float] | None = None
    p_value: float | None = None
    seeds: int = 0
    verdict: Verdict
    reason: str = ""
    preset: str = ""
    differs_from_paper: str = ""


@dataclass(frozen=True)
class Region:
    """The numbers for which a claim is true: on one side of `edge`, which belongs to it if `closed`."""

    edge: float
    above: bool
    closed: bool

    def __contains__(self, value: float) -> bool:
        if value == self.edge:
            return self.closed
        return (value > self.edge) == self.above


@dataclass(frozen=True)
class _Measured:
    claim: Claim
    arm: Side
    against: Side | None
    found: Estimate
    late: int


def region(claim: Claim) -> Region:
    """Where the claim is true, in the unit of its estimate."""
    if claim.at_most is not None:
        return Region(claim.at_most, above=False, closed=True)
    if claim.at_least is not None:
        return Region(claim.at_least, above=True, closed=True)
    margin = claim.margin if claim.verdict == "better" else -claim.margin
    return Region(margin if claim.rises else -margin + 0.0, above=claim.rises, closed=claim.verdict == "not_worse")


def verdict(where: Region, interval: Interval | None) -> Verdict:
    """Decide from the interval and nothing else; its end points are part of it."""
    if interval is None:
        return "undecided"
    inside = {end in where for end in interval}
    return "undecided" if len(inside) == 2 else "reproduced" if inside == {True} else "refuted"


def judge(claims: Sequence[Claim], evaluations: Mapping[str, Evaluation], curves: Curves) -> list[ClaimRecord]:
    """Decide all claims together, in their order.

    Raises:
        AssayError: a claim names a variant that was not evaluated, or a metric that it does not have.
    """
    measured = {claim.id: _measure(claim, evaluations, curves) for claim in claims if claim.preset is None}
    p_values = [one.found.p_value(region(one.claim).edge) for one in measured.values()]
    corrected = dict(zip(measured, zip(*holm(p_values), strict=True), strict=True))
    return [
        _decide(measured[claim.id], *corrected[claim.id]) if claim.id in measured else _untested(claim)
        for claim in claims
    ]


def _measure(claim: Claim, evaluations: Mapping[str, Evaluation], curves: Curves) -> _Measured:
    sides = {}
    for key, named in claim.arms.items():
        where = f"{PARAMS_FILE}: claims.{claim.id}.{key}"
        sides[key] = Side(*find(evaluations, named, where), where)
    arm, against = sides["arm"], sides.get("against")
    return _Measured(claim, arm, against, *estimate(claim, arm, against, curves))


def _decide(one: _Measured, p_value: float | None, confidence: float) -> ClaimRecord:
    claim, interval = one.claim, one.found.interval(confidence)
    decided, reason = verdict(region(claim), interval), one.found.reason
    if one.late:
        late = f"{one.late} of {len(one.found.seeds)} seeds never get there, and count as their last step"
        reason = f"{late}; {reason}" if reason else late
        decided = "undecided" if decided == "reproduced" else decided
    return ClaimRecord(
        **claim.model_dump(include={"id", "paper", "statement", "margin", "at_most", "at_least", "differs_from_paper"}),
        metric=str(claim.metric),
        asks=claim.verdict or "",
        more_is_better=claim.rises,
        arm=one.arm.name,
        against=one.against.name if one.against else "",
        difference=one.found.value,
        interval=interval,
        confidence=confidence,
        interval_alone=one.found.interval(),
        p_value=p_value,
        seeds=len(one.found.seeds),
        verdict=decided,
        reason=reason,
    )


def _untested(claim: Claim) -> ClaimRecord:
    return ClaimRecord(
        **claim.model_dump(include={"id", "paper", "statement", "preset", "differs_from_paper"}),
        verdict="not tested here",
    )
