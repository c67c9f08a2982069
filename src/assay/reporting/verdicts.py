"""Claims with their verdicts, worded for people, and each interval as a small picture."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.evaluation.claims import VERDICTS
from assay.reporting import numbers
from assay.reporting.papers import paper
from assay.reporting.tables import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.evaluation.claims import ClaimRecord
    from assay.reporting.summary import Row

NAMES = {
    "accuracy": "Accuracy", "nll": "NLL", "brier": "Brier score", "ece": "ECE", "best_step": "Step of the least loss",
    "best_step_accuracy": "Accuracy at early stop", "steps_to_match": "Steps to the rival's best accuracy",
    "train_samples": "Training samples", "forward_samples": "Forward samples", "optimizer_steps": "Optimizer steps",
    "training_cost": "Training cost", "training_flops": "Training FLOPs", "inference_cost": "Inference cost",
    "inference_flops": "Inference FLOPs", "members": "Members", "density": "Density", "disagreement": "Disagreement",
    "total_variation": "Total variation",
}  # fmt: skip
MARKS = {"reproduced": "✓", "refuted": "✗", "undecided": "?", "not tested here": "–"}  # no verdict rests on a colour


@dataclass(frozen=True)
class Glyph:
    """An interval drawn on a line from 0 to 1; every number is a place on it.

    Attributes:
        zero: no difference; for a ratio 1, and for a number without rival its bound.
        low: the low end of the interval that decides.
        high: its high end.
        alone: the ends of the 95 % interval of this claim alone.
        estimate: the difference.
        holds: the stretch for which the claim is true.
    """

    zero: float
    low: float
    high: float
    alone: tuple[float, float]
    estimate: float
    holds: tuple[float, float]


@dataclass(frozen=True)
class View:
    """A claim as it is shown."""

    id: str
    verdict: str
    mark: str
    statement: str
    asks: str
    paper: str
    difference: str
    interval: str
    unit: str
    differs: str
    reason: str
    preset: str
    glyph: Glyph | None


@dataclass(frozen=True)
class Topic:
    """The claims of one paper, and how many have which verdict: `2 reproduced, 1 undecided`."""

    title: str
    cited: str
    counts: str
    claims: Sequence[View]


def topics(claims: Sequence[ClaimRecord], rows: Sequence[Row]) -> list[Topic]:
    """The claims by paper, in the order in which papers are first named; what is not tested stands last."""
    found = []
    for key in dict.fromkeys(claim.paper for claim in claims):
        own = sorted((claim for claim in claims if claim.paper == key), key=lambda one: bool(one.preset))
        found.append(Topic(paper(key).topic, paper(key).cited, _counts(own), views(own, rows)))
    return found


def views(claims: Sequence[ClaimRecord], rows: Sequence[Row]) -> list[View]:
    """Word the claims; the rows of the summary say which arms have one variant only, and so need not name it.

    Numbers are rounded to two significant digits of the interval's half-width.
    """
    names = {f"{row.arm}/{row.variant}": label(rows, row) for row in rows}
    return [_view(claim, names) for claim in claims]


def headline(claims: Sequence[ClaimRecord]) -> str:
    """`3 claims: 1 reproduced, 2 undecided`, or `1 claim: refuted`, or that there are none."""
    if not claims:
        return "No claims to decide"
    if len(claims) == 1:
        return f"1 claim: {claims[0].verdict}"
    return f"{len(claims)} claims: {_counts(claims)}"


def _counts(claims: Sequence[ClaimRecord]) -> str:
    counts = Counter(claim.verdict for claim in claims)
    return ", ".join(f"{counts[one]} {one}" for one in VERDICTS if counts[one])


def _view(claim: ClaimRecord, names: Mapping[str, str]) -> View:
    ratio = claim.asks == "ratio"
    scale = 100 if claim.metric in numbers.PERCENT and not ratio else 1
    unit = "×" if ratio and claim.against else "" if ratio else _unit(claim.metric)
    places = numbers.decimals([scale * (claim.interval[1] - claim.interval[0]) / 2] if claim.interval else [], 2)
    value = None if claim.difference is None else scale * claim.difference
    shown = numbers.fixed(value, places) if ratio else numbers.signed(value, places)
    return View(
        id=claim.id,
        verdict=claim.verdict,
        mark=MARKS[claim.verdict],
        statement=claim.statement,
        asks=_asks(claim, names, scale, unit),
        paper=claim.paper,
        difference="" if claim.preset else shown,
        interval=_interval(claim, scale, places),
        unit="" if claim.preset else unit,
        differs=claim.differs_from_paper,
        reason=claim.reason,
        preset=claim.preset,
        glyph=_glyph(claim),
    )


def _unit(metric: str) -> str:
    if metric in numbers.PERCENT:
        return "points"
    return (
        "nats" if metric == "nll" else "steps" if metric in ("best_step", "steps_to_match", "optimizer_steps") else ""
    )


def _asks(claim: ClaimRecord, names: Mapping[str, str], scale: int, unit: str) -> str:
    if claim.preset:
        return f"`make preset NAME={claim.preset}` would test it"
    metric = NAMES.get(claim.metric, claim.metric.removeprefix("record.").replace("_", " ").capitalize())
    arm, against = names.get(claim.arm, claim.arm), names.get(claim.against, claim.against)
    if claim.asks == "ratio":
        word, bound = ("at most", claim.at_most) if claim.at_most is not None else ("at least", claim.at_least)
        times = f" times that of {against}" if against else ""
        return f"{metric} of {arm} {word} {numbers.plain(bound or 0)}{times}"
    margin = f"{numbers.plain(scale * claim.margin)} {unit}".rstrip()
    if claim.asks == "better":
        condition = "better" if not claim.margin else f"better by more than {margin}"
    else:
        condition = "not worse" if not claim.margin else f"at most {margin} worse"
    direction = "" if claim.more_is_better else " (less is better)"
    return f"{metric} of {arm} {condition} than that of {against}{direction}"


def _interval(claim: ClaimRecord, scale: int, places: int) -> str:
    if claim.interval is None or claim.interval[0] == claim.interval[1]:
        return ""  # exact
    low, high = scale * claim.interval[0], scale * claim.interval[1]
    if claim.asks == "ratio":
        return f"[{numbers.fixed(low, places)}, {numbers.fixed(high, places)}]"
    return numbers.interval(low, high, places)


def _glyph(claim: ClaimRecord) -> Glyph | None:
    if claim.interval is None or claim.difference is None or claim.interval_alone is None:
        return None
    if claim.asks == "ratio":
        bound, above = claim.at_most or claim.at_least or 1.0, claim.at_least is not None
        middle = 1.0 if claim.against else bound

        def straight(value: float) -> float:
            return math.log(max(value, 1e-9 * middle) / middle)
    else:
        above, bound = claim.more_is_better, claim.margin if claim.asks == "better" else -claim.margin
        bound = bound if above else -bound

        def straight(value: float) -> float:
            return value

    reach = 1.2 * max(abs(straight(value)) for value in (*claim.interval, bound)) or 1.0

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, (straight(value) / reach + 1) / 2)), 4)

    edge, (low, high) = place(bound), claim.interval
    alone = place(claim.interval_alone[0]), place(claim.interval_alone[1])
    return Glyph(0.5, place(low), place(high), alone, place(claim.difference), (edge, 1.0) if above else (0.0, edge))
