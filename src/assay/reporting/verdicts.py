"""Claims with their verdicts, worded for people, and each interval as a small picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.evaluation.claims import VERDICTS
from assay.evaluation.metrics import higher_is_better
from assay.reporting import numbers
from assay.reporting.tables import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.evaluation.claims import ClaimRecord
    from assay.evaluation.metrics import Metric
    from assay.reporting.summary import Row

NAMES: dict[Metric, str] = {"accuracy": "Accuracy", "nll": "NLL", "brier": "Brier score", "ece": "ECE"}
MARKS = {"reproduced": "✓", "refuted": "✗", "undecided": "?"}  # so that no verdict rests on a colour
PERCENT: tuple[Metric, ...] = ("accuracy", "ece")


@dataclass(frozen=True)
class Glyph:
    """An interval drawn on a line from 0 to 1; every number is a place on it.

    Attributes:
        zero: no difference.
        low: the interval's low end.
        high: its high end.
        estimate: the difference.
        holds: the stretch of differences for which the claim is true.
    """

    zero: float
    low: float
    high: float
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
    glyph: Glyph | None


def views(claims: Sequence[ClaimRecord], rows: Sequence[Row]) -> list[View]:
    """Word the claims; the rows of the summary say which arms have one variant only, and so need not name it.

    Numbers are rounded to two significant digits of the interval's half-width.
    """
    names = {f"{row.arm}/{row.variant}": label(rows, row) for row in rows}
    return [_view(claim, names) for claim in claims]


def _view(claim: ClaimRecord, names: Mapping[str, str]) -> View:
    scale = 100 if claim.metric in PERCENT else 1
    places = numbers.decimals([scale * (claim.interval[1] - claim.interval[0]) / 2] if claim.interval else [], 2)
    unit = "points" if claim.metric in PERCENT else "nats" if claim.metric == "nll" else ""
    return View(
        id=claim.id,
        verdict=claim.verdict,
        mark=MARKS[claim.verdict],
        statement=claim.statement,
        asks=_asks(claim, names, scale, unit),
        paper=claim.paper,
        difference=numbers.signed(None if claim.difference is None else scale * claim.difference, places),
        interval=_interval(claim, scale, places),
        unit=unit,
        differs=claim.differs_from_paper,
        reason=claim.reason,
        glyph=_glyph(claim),
    )


def headline(claims: Sequence[ClaimRecord]) -> str:
    """`3 claims: 1 reproduced, 2 undecided`, or `1 claim: refuted`, or that there are none."""
    if not claims:
        return "No claims to decide"
    if len(claims) == 1:
        return f"1 claim: {claims[0].verdict}"
    counts = Counter(claim.verdict for claim in claims)
    return f"{len(claims)} claims: {', '.join(f'{counts[one]} {one}' for one in VERDICTS if counts[one])}"


def _asks(claim: ClaimRecord, names: Mapping[str, str], scale: int, unit: str) -> str:
    margin = f"{numbers.plain(scale * claim.margin)} {unit}".rstrip()
    if claim.asks == "better":
        condition = "better" if not claim.margin else f"better by more than {margin}"
    else:
        condition = "not worse" if not claim.margin else f"at most {margin} worse"
    direction = "" if higher_is_better(claim.metric) else " (less is better)"
    sides = names.get(claim.arm, claim.arm), names.get(claim.against, claim.against)
    return f"{NAMES[claim.metric]} of {sides[0]} {condition} than that of {sides[1]}{direction}"


def _interval(claim: ClaimRecord, scale: int, places: int) -> str:
    return numbers.interval(scale * claim.interval[0], scale * claim.interval[1], places) if claim.interval else ""


def _glyph(claim: ClaimRecord) -> Glyph | None:
    if claim.interval is None or claim.difference is None:
        return None
    low, high = claim.interval
    reach = 1.2 * max(abs(low), abs(high), claim.margin) or 1.0

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, (value / reach + 1) / 2)), 4)

    better = 1 if higher_is_better(claim.metric) else -1
    edge = place(better * (claim.margin if claim.asks == "better" else -claim.margin))
    holds = (edge, 1.0) if better > 0 else (0.0, edge)
    return Glyph(place(0), place(low), place(high), place(claim.difference), holds)
