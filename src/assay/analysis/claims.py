"""From the papers' claims to verdicts at these settings.

A claim has an edge a and a smallest difference that matters, δ: of `better` they are the margin and `matters`, of
`not_worse` (non-inferiority) both are the margin, and of a `ratio` both are the bound, on logarithms. From them and the
paired numbers of the seeds `assay.analysis.rule` decides, at the looks that the section `rule` fixes beforehand.
Numbers that follow from params.yaml alone are told and not tested.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel

from assay.analysis.looks import find, result, sample
from assay.analysis.statistics import CONFIDENCE
from assay.core.config import PARAMS_FILE
from assay.core.config.blocks import canonical
from assay.scoring.metrics import check, is_exact, lookup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.core.config.claim import Claim, Rule
    from assay.scoring.record import Evaluation

Verdict = Literal["reproduced", "refuted", "negligible", "undecided", "by construction", "not tested here"]
PATH = Path("metrics/claims.json")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
TESTED: tuple[Verdict, ...] = ("reproduced", "refuted", "negligible", "undecided")


class Look(BaseModel, frozen=True):
    """What the first `seeds` seeds of both arms say; `difference` is as in `ClaimRecord`, over these.

    Attributes:
        error: its standard error, of a ratio that of its logarithm; None, as what follows, where there is none.
        degrees: of freedom of the t distribution.
        above: p value of "the truth is at most a".
        below: p value of "the truth is at least δ".
        level: the p value at which a fact is shown at this look.
    """

    seeds: int
    difference: float | None = None
    error: float | None = None
    degrees: float | None = None
    above: float | None = None
    below: float | None = None
    level: float


class Forecast(BaseModel, frozen=True):
    """What it would take to decide a claim that is undecided.

    Attributes:
        seeds: the first later look at which it is decided with a probability of a half or more; None if at none.
        probability: that it is decided at that look, or where `seeds` is None at the last one.
        test_examples: where the test set limits and not the seeds: how many would decide it at even odds, else None.
    """

    seeds: int | None = None
    probability: float = 0.0
    test_examples: int | None = None


class ClaimRecord(BaseModel, frozen=True):
    """A claim with its verdict: one entry of `metrics/claims.json`.

    Attributes:
        id: as in params.yaml, and so are all fields that are not named here; empty or None where the claim has none.
        asks: the kind of claim, `verdict` in params.yaml.
        more_is_better: the direction in which the metric improves.
        arm: `<arm>/<variant>`, the side the claim is about; `against` likewise its rival.
        edge: a, in the claim's direction and the metric's unit (of a ratio the ratio): beyond it the claim is true.
        matters: δ, likewise: the smallest difference that matters; equal to the edge for `not_worse` and `ratio`.
        difference: arm minus against in the metric's own unit, the mean over the seeds of `seeds`; of a ratio the
            geometric mean of arm / against, or the metric's own value where there is no rival. None where no seed is
            common.
        interval: at the deciding look (undecided: at the last there is), of the confidence at which facts are shown
            there; None where there is none.
        confidence: that of the interval.
        interval_alone: 95 %, as if this claim were the only one, over the same seeds.
        seeds: how many the deciding look (else the last one, without a look the common ones) stands on.
        all_seeds: how many are common.
        difference_all_seeds: as `difference`, over all common seeds: estimates at stopping exaggerate.
        by_seed: the paired differences (ratios, values) of all common seeds, in their order.
        above: the look, in seeds, at which "the truth is beyond the edge" was first shown; None if it was not.
        below: likewise "the truth is short of what matters".
        harms: whether the whole interval lies on the wrong side of no difference.
        seed_share: the part of the variance that comes from seeds; the rest comes from test examples.
        sd_over_floor: the arm's SD of accuracy over seeds, divided by √(error rate / 2N), the least that independent
            networks have (Jordan, arXiv 2304.01910); None for other metrics.
        forecast: of an undecided claim.
        changed_after_results: whether the claim was changed after results of its arms were there.
        archived: the archived run that the verdict is taken from; empty where it is of this run.
        reason: what a reader must know of how it was decided; else empty.
    """

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
    edge: float | None = None
    matters: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = CONFIDENCE
    interval_alone: tuple[float, float] | None = None
    seeds: int = 0
    all_seeds: int = 0
    difference_all_seeds: float | None = None
    by_seed: list[float] = []
    looks: list[Look] = []
    above: int | None = None
    below: int | None = None
    harms: bool = False
    seed_share: float | None = None
    sd_over_floor: float | None = None
    forecast: Forecast | None = None
    changed_after_results: bool = False
    archived: str = ""
    verdict: Verdict
    reason: str = ""
    preset: str = ""
    differs_from_paper: str = ""

    @property
    def tested(self) -> bool:
        """Whether the claim has a verdict that this run's own results gave."""
        return self.verdict in TESTED and not self.archived


def judge(
    claims: Sequence[Claim], evaluations: Mapping[str, Evaluation], rule: Rule, seeds: Sequence[int]
) -> list[ClaimRecord]:
    """Decide the claims of params.yaml, in their order, by its rule.

    Its seeds begin the sequence of which a look at S takes the first S.

    Raises:
        AssayError: a claim names an unknown metric, or a variant that was not evaluated or lacks the metric.
    """
    check(claims, rule)
    order = canonical(seeds, max(len(seeds), rule.looks[-1]))
    decided = []
    for claim in claims:
        told = claim.model_dump(include={"id", "paper", "statement", "differs_from_paper"})
        if claim.preset is None:
            told |= _judge(claim, evaluations, rule, order)
        else:
            told |= {"preset": claim.preset, "verdict": "not tested here"}
        decided.append(ClaimRecord(**told))
    return decided


def _judge(claim: Claim, evaluations: Mapping[str, Evaluation], rule: Rule, order: tuple[int, ...]) -> dict[str, Any]:
    where = f"{PARAMS_FILE}: claims.{claim.id}"
    sides = {key: find(evaluations, name, f"{where}.{key}") for key, name in claim.arms.items()}
    found = sample(claim, sides["arm"], sides.get("against"), order)
    if claim.verdict == "better":
        own = rule.matters if claim.metric == "accuracy" else 0.0
        edge, matters = claim.margin, max(claim.margin, own if claim.matters is None else claim.matters)
    else:
        edge = float(claim.at_most or claim.at_least or 1) if claim.verdict == "ratio" else -claim.margin + 0.0
        matters = edge
    metric, exact, alone = str(claim.metric), is_exact(claim.metric), found.estimate()
    known = lookup(metric).higher_is_better  # None only of a ratio, whose bound gives the direction
    told = claim.model_dump(include={"margin", "at_most", "at_least"}) | {
        "metric": metric,
        "asks": claim.verdict or "",
        "more_is_better": bool(known if claim.more_is_better is None else claim.more_is_better),
        **{key: side.name for key, side in sides.items()},
        "edge": edge,
        "matters": matters,
        "difference": alone.value,
        "difference_all_seeds": alone.value,
        "interval_alone": None if exact else alone.interval(),
        "seeds": len(found.seeds),
        "all_seeds": len(found.seeds),
        "verdict": "by construction" if exact else "undecided",
        "reason": found.reason,
    }
    if not found.reason:
        by_seed = found.table.mean(1)
        told["by_seed"] = (np.exp(by_seed) if found.ratio else by_seed).tolist()
        told |= {} if exact else result(claim, sides, found, rule, order, (edge, matters))
    return told
