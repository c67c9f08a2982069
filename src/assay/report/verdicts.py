"""Claims with their verdicts, worded for people, and each interval as a small picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.analysis.claims import VERDICTS
from assay.report import numbers
from assay.report.papers import paper
from assay.report.standing import standing
from assay.report.tables import label
from assay.scoring.metrics import lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.analysis.claims import ClaimRecord, Forecast
    from assay.report.summary import Row

MARKS = {  # no verdict rests on a colour
    "reproduced": "✓", "refuted": "✗", "negligible": "≈", "undecided": "?", "by construction": "=",
    "not tested here": "\N{EN DASH}",
}  # fmt: skip
MEANINGS = {
    "reproduced": "The claim holds here: the difference is shown to lie beyond the edge of what is claimed.",
    "refuted": "The claim does not hold here: any gain is shown to be smaller than what matters.",
    "negligible": "There is a gain, and it is shown to be smaller than what matters.",
    "undecided": "The seeds trained so far allow both answers. The forecast says what would decide it.",
    "by construction": "The number follows from params.yaml alone. There was nothing to test, so it is no verdict.",
    "not tested here": "It needs other data, another network or a longer training, which a preset sets up.",
}
DECIDED = ("reproduced", "refuted", "negligible")
TESTED = (*DECIDED, "undecided")
CHANGED = "The claim was changed after results of its arms were there."
SEED_ROOM = 2  # seeds may widen the picture of an interval by this factor; what lies farther out stands at its end


@dataclass(frozen=True)
class Glyph:
    """An interval drawn on a line from 0 to 1; every number is a place on it, to the right the arm is better.

    Attributes:
        zero: no difference, or a ratio of 1.
        low: the low end of the interval that decides.
        high: its high end.
        alone: the ends of the 95 % interval of this claim alone.
        estimate: the difference.
        edge: right of it the claim holds.
        matters: the smallest difference that matters.
        seeds: of each seed.
    """

    zero: float
    low: float
    high: float
    alone: tuple[float, float] | None
    estimate: float
    edge: float
    matters: float
    seeds: Sequence[float]


@dataclass(frozen=True)
class View:
    """A claim as it is shown.

    Attributes:
        facts: how it was decided, in sentences.
        forecast: what would decide it, a sentence; else empty.
        flags: what a reader must not miss.
        tested: whether it has a verdict of this run.
    """

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
    archived: str
    seeds: int
    facts: Sequence[str]
    forecast: str
    flags: Sequence[str]
    tested: bool
    glyph: Glyph | None

    @property
    def kind(self) -> str:
        """Its verdict as the name of a class in a style sheet."""
        return self.verdict.replace(" ", "-")


@dataclass(frozen=True)
class Topic:
    """The claims of one paper, and how many have which verdict: `2 reproduced, 1 undecided`."""

    title: str
    cited: str
    counts: str
    claims: Sequence[View]


def topics(claims: Sequence[ClaimRecord], rows: Sequence[Row]) -> list[Topic]:
    """The claims by paper, in the order in which papers are first named; those without a test here stand last."""
    found = []
    for key in dict.fromkeys(claim.paper for claim in claims):
        own = sorted((claim for claim in claims if claim.paper == key), key=_place)
        found.append(Topic(paper(key).topic, paper(key).cited, _counts(own), views(own, rows)))
    return found


def views(claims: Sequence[ClaimRecord], rows: Sequence[Row]) -> list[View]:
    """Word the claims; the rows of the summary say which arms have one variant only, and so need not name it.

    Numbers are rounded to two significant digits of the interval's half-width.
    """
    names = {f"{row.arm}/{row.variant}": label(rows, row) for row in rows}
    return [_view(claim, names) for claim in claims]


def headline(claims: Sequence[ClaimRecord]) -> str:
    """`3 claims tested: 1 reproduced, 2 undecided; apart from these 1 by construction`, or that there are none."""
    if not claims:
        return "No claims to decide"
    own = [claim for claim in claims if tested(claim)]
    counts = _counts(claims)
    if not own:
        return f"No claim tested here: {counts}"
    return f"{len(own)} claim{'' if len(own) == 1 else 's'} tested: {counts}"


def tested(claim: ClaimRecord) -> bool:
    """Whether the claim has a verdict that this run's own results gave."""
    return claim.verdict in TESTED and not claim.archived


def meanings(claims: Sequence[ClaimRecord]) -> list[tuple[str, str, str]]:
    """Mark, verdict and its meaning, for each verdict that a claim here has."""
    there = {claim.verdict for claim in claims}
    return [(MARKS[one], one, MEANINGS[one]) for one in VERDICTS if one in there]


def _place(claim: ClaimRecord) -> int:
    return 0 if tested(claim) else 1 if claim.verdict == "by construction" else 2


def _counts(claims: Sequence[ClaimRecord]) -> str:
    """Verdicts of this run, then after a semicolon what is counted apart from them."""
    own: Counter[str] = Counter(claim.verdict for claim in claims if tested(claim))
    apart = Counter(
        f"{claim.verdict} in an archived run" if claim.archived else claim.verdict
        for claim in claims
        if not tested(claim)
    )
    parts = [", ".join(f"{own[one]} {one}" for one in TESTED if own[one])]
    parts += [", ".join(f"{count} {name}" for name, count in sorted(apart.items()))]
    return "; ".join(part for part in parts if part)


def _view(claim: ClaimRecord, names: Mapping[str, str]) -> View:
    ratio, own = claim.asks == "ratio", tested(claim)
    about = lookup(claim.metric)
    scale = 1 if ratio else about.scale
    unit = "×" if ratio and claim.against else "" if ratio else about.of_differences
    places = numbers.decimals([scale * (claim.interval[1] - claim.interval[0]) / 2] if claim.interval else [], 2)

    def shown(value: float | None) -> str:
        value = None if value is None else scale * value
        return numbers.fixed(value, places) if ratio else numbers.signed(value, places)

    there = claim.difference is not None or own
    return View(
        id=claim.id,
        verdict=claim.verdict,
        mark=MARKS[claim.verdict],
        statement=claim.statement,
        asks=_asks(claim, names, scale, unit),
        paper=claim.paper,
        difference=shown(claim.difference) if there else "",
        interval=_interval(claim.interval, ratio, scale, places),
        unit=unit if there else "",
        differs=claim.differs_from_paper,
        reason=claim.reason,
        preset=claim.preset,
        archived=claim.archived,
        seeds=claim.seeds if own else 0,
        facts=_facts(claim, shown, _interval(claim.interval_alone, ratio, scale, places), unit) if own else [],
        forecast=_forecast(claim.forecast) if claim.forecast and claim.verdict == "undecided" else "",
        flags=[
            *(["The arm is worse than its rival: the whole interval lies on the wrong side."] if claim.harms else []),
            *([CHANGED] if claim.changed_after_results else []),
        ],
        tested=own,
        glyph=_glyph(claim),
    )


def _asks(claim: ClaimRecord, names: Mapping[str, str], scale: int, unit: str) -> str:
    if claim.archived:
        return f"The verdict is that of the archived run {claim.archived}"
    if claim.preset:
        return f"`make preset NAME={claim.preset}` would test it"
    metric = lookup(claim.metric).label
    arm, against = names.get(claim.arm, claim.arm), names.get(claim.against, claim.against)
    if claim.asks == "ratio":
        word, bound = ("at most", claim.at_most) if claim.at_most is not None else ("at least", claim.at_least)
        times = f" times that of {against}" if against else ""
        return f"{metric} of {arm} {word} {numbers.plain(bound or 0)}{times}"
    margin = f"{numbers.plain(scale * claim.margin)} {unit}".rstrip()
    if claim.asks == "better":
        condition = "better" if not claim.margin else f"better by more than {margin}"
        if claim.matters and claim.matters > claim.margin:
            condition += f" (from {numbers.plain(scale * claim.matters)} {unit}".rstrip() + " on it matters)"
    else:
        condition = "not worse" if not claim.margin else f"at most {margin} worse"
    direction = "" if claim.more_is_better else " (less is better)"
    return f"{metric} of {arm} {condition} than that of {against}{direction}"


def _interval(ends: tuple[float, float] | None, ratio: bool, scale: int, places: int) -> str:
    if ends is None or ends[0] == ends[1]:
        return ""  # exact
    low, high = scale * ends[0], scale * ends[1]
    if ratio:
        return f"[{numbers.fixed(low, places)}, {numbers.fixed(high, places)}]"
    return numbers.interval(low, high, places)


def _facts(claim: ClaimRecord, shown: Callable[[float | None], str], alone: str, unit: str) -> list[str]:
    """How the verdict came about: looks, other intervals, where the error comes from."""
    facts = []
    seeds = f"{claim.seeds} seed{'' if claim.seeds == 1 else 's'}"
    if claim.verdict in DECIDED:
        of = f" of {claim.all_seeds}" if claim.all_seeds > claim.seeds else ""
        facts.append(f"Decided by the first {claim.seeds}{of} seeds." if of else f"Decided by {seeds}.")
    elif claim.looks:
        facts.append(f"Looked at after {' and '.join(str(look.seeds) for look in claim.looks)} seeds.")
    elif claim.seeds:
        facts.append(f"{seeds}: too few for a look.")
    if claim.all_seeds > claim.seeds and claim.difference_all_seeds is not None:
        facts.append(f"All {claim.all_seeds} seeds: {shown(claim.difference_all_seeds)} {unit}".rstrip() + ".")
    if alone:
        facts.append(f"95 % interval of this claim alone: {alone} {unit}".rstrip() + ".")
    if claim.seed_share is not None:
        share = round(100 * claim.seed_share)
        facts.append(f"Of the error's variance {share} % comes from seeds, {100 - share} % from test examples.")
    if claim.sd_over_floor is not None:
        facts.append(f"SD over seeds: {numbers.plain(round(claim.sd_over_floor, 2))} times its floor.")
    return facts


def _forecast(forecast: Forecast) -> str:
    if forecast.test_examples is not None:
        return f"More seeds would not decide it; a test set of {forecast.test_examples:,} examples would, at even odds."
    chance = f"{100 * forecast.probability:.0f} %"
    if forecast.seeds is None and not forecast.probability:
        return "It stays undecided: there is no later look."
    if forecast.seeds is None:
        return f"Not even the last look is likely to decide it ({chance})."
    return f"{forecast.seeds} seeds would decide it with a probability of {chance}."


def _glyph(claim: ClaimRecord) -> Glyph | None:
    found = standing(claim)
    if found is None:
        return None
    reach = 1.15 * max(map(abs, (found.low, found.high, found.edge, found.matters))) or 1.0
    reach = max(reach, min(1.05 * max(map(abs, found.seeds), default=0.0), SEED_ROOM * reach))

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, (value / reach + 1) / 2)), 4)

    alone = found.alone and (place(found.alone[0]), place(found.alone[1]))
    marks = place(found.estimate), place(found.edge), place(found.matters), [place(one) for one in found.seeds]
    return Glyph(0.5, place(found.low), place(found.high), alone, *marks)
