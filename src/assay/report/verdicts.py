"""Claims with their verdicts, worded for people, each interval on an axis that all claims share, and across runs."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.analysis.claims import EARLIER_RULE, TESTED, VERDICTS
from assay.core.config.claim import Rule
from assay.report import numbers, tables
from assay.report.content import paper
from assay.scoring.metrics import lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.analysis.claims import Archive, ClaimRecord, Control, Forecast
    from assay.report.summary import Row
    from assay.scoring.record import Record

MARKS = dict(zip(VERDICTS, "✓✗≈?=\N{EN DASH}", strict=True))  # no verdict rests on a colour
MEANINGS = {
    "reproduced": "The claim holds here: the difference is shown to lie beyond the edge of what is claimed.",
    "refuted": "The claim does not hold here: any gain is shown to be smaller than what matters.",
    "negligible": "There is a gain, and it is shown to be smaller than what matters.",
    "undecided": "The seeds trained so far allow both answers. The forecast says what would decide it.",
    "by construction": "The number follows from params.yaml alone. There was nothing to test, so it is no verdict.",
    "not tested here": "It needs other data, another network or a longer training, which a preset sets up.",
}
CHANGED = "The claim was changed after results of its arms were there."
HARMS = "The arm is worse than its rival: the whole interval lies on the wrong side."
SEED_ROOM = 2  # seeds may widen the picture of an interval by this factor; what lies farther out stands at its end
LEAST_RATIO = 1e-9  # smaller ratios have no finite logarithm
SAME = ("asks", "metric", "more_is_better", "margin", "at_most", "at_least")  # else it is not the same claim
HOLDS = {"reproduced": "yes", "refuted": "no", "negligible": "no"}


class Standing(NamedTuple):
    """Where a claim's numbers stand on the axis that all claims share, to the right the arm is better.

    `estimate` is the difference at the deciding look, with the ends of the interval that decides; beyond `edge` the
    claim is true, and from `matters` on a difference matters. `alone` has the ends of the 95 % interval of this claim
    alone, `seeds` the difference of each common seed; `zero` is no difference, or a ratio of 1.
    """

    estimate: float
    low: float
    high: float
    edge: float
    matters: float
    alone: tuple[float, ...] | None
    seeds: Sequence[float]
    zero: float = 0.0


def topics(claims: Sequence[ClaimRecord], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The claims by paper, in the order in which papers are first named; those without a test here stand last.

    Each has `title`, `cited`, `counts` (how many have which verdict: `2 reproduced, 1 undecided`) and `claims`. The
    rows of the summary say which arms have one variant only, and so need not name it.
    """
    names = {f"{row.arm}/{row.variant}": tables.label(rows, row) for row in rows}
    found = []
    for key in dict.fromkeys(claim.paper for claim in claims):
        own = [claim for claim in claims if claim.paper == key]
        own.sort(key=lambda claim: 0 if claim.tested else 1 if claim.verdict == "by construction" else 2)
        title, cited = paper(key)
        shown = [view(claim, names) for claim in own]
        found.append({"title": title, "cited": cited, "counts": _counts(own), "claims": shown})
    return found


def headline(claims: Sequence[ClaimRecord]) -> str:
    """`3 claims tested: 1 reproduced, 2 undecided; 1 by construction`, or that there are none."""
    own = sum(claim.tested for claim in claims)
    many = f"{own} claim{'' if own == 1 else 's'} tested" if own else "No claim tested here"
    return f"{many}: {_counts(claims)}" if claims else "No claims to decide"


def meanings(claims: Sequence[ClaimRecord]) -> list[tuple[str, str, str]]:
    """Mark, verdict and its meaning, for each verdict that a claim here has."""
    there = {claim.verdict for claim in claims}
    return [(MARKS[one], one, MEANINGS[one]) for one in VERDICTS if one in there]


def _counts(claims: Sequence[ClaimRecord]) -> str:
    """Verdicts of this run, then after a semicolon what is counted apart from them."""
    own = Counter(str(claim.verdict) for claim in claims if claim.tested)
    others = [claim for claim in claims if not claim.tested]
    apart = Counter(f"{one.verdict} in an archived run" if one.archived else one.verdict for one in others)
    parts = [f"{own[one]} {one}" for one in TESTED if own[one]], [f"{n} {name}" for name, n in sorted(apart.items())]
    return "; ".join(", ".join(part) for part in parts if part)


def view(claim: ClaimRecord, names: Mapping[str, str]) -> dict[str, Any]:
    """A claim as templates show it: texts, beside `seeds`, `tested` and `glyph`; `names` has what variants are called.

    Numbers are rounded to two significant digits of the interval's half-width. `facts` say how it was decided,
    `forecast` what would decide it, `flags` what a reader must not miss.
    """
    ratio, own = claim.asks == "ratio", claim.tested
    about = lookup(claim.metric)
    scale = 1 if ratio else about.scale
    unit = "×" if ratio and claim.against else "" if ratio else about.of_differences
    less = claim.interval and not claim.more_is_better
    places = numbers.decimals([scale * (claim.interval[1] - claim.interval[0]) / 2] if claim.interval else [], 2)
    write = numbers.fixed if ratio else numbers.signed

    def shown(value: float | None) -> str:
        return write(None if value is None else scale * value, places)

    def interval(ends: tuple[float, float] | None) -> str:
        return f"[{shown(ends[0])}, {shown(ends[1])}]" if ends and ends[0] != ends[1] else ""  # equal: exact

    there = claim.difference is not None or own
    return claim.model_dump(include={"id", "verdict", "statement", "paper"}) | {
        "mark": MARKS[claim.verdict],
        "asks": _asks(claim, names, scale, unit),
        "difference": shown(claim.difference) if there else "",
        "interval": interval(claim.interval),
        "unit": unit if there else "",
        "direction": "(less is better)" if less else "",
        "reason": claim.reason[:1].upper() + claim.reason[1:],
        "differs": claim.differs_from_paper,
        "seeds": claim.seeds if own else 0,
        "facts": _facts(claim, shown, interval(claim.interval_alone), unit) if own else [],
        "forecast": _forecast(claim.forecast) if claim.forecast and claim.verdict == "undecided" else "",
        "control": _control(claim.control, shown, interval, unit) if claim.control and own else "",
        "flags": [flag for flag, raised in ((HARMS, claim.harms), (CHANGED, claim.changed_after_results)) if raised],
        "tested": own,
        "glyph": _glyph(claim),
    }


def _asks(claim: ClaimRecord, names: Mapping[str, str], scale: int, unit: str) -> str:
    if claim.archived:
        return f"The verdict is that of the archived run {claim.archived}"
    if claim.preset:
        return f"`make preset NAME={claim.preset}` would test it"

    def amount(value: float) -> str:
        return numbers.amount(scale * value, unit)

    metric = lookup(claim.metric).label
    arm, against = names.get(claim.arm, claim.arm), names.get(claim.against, claim.against)
    if claim.asks == "ratio":
        word, bound = ("at most", claim.at_most) if claim.at_most is not None else ("at least", claim.at_least)
        times = f" times that of {against}" if against else ""
        return f"{metric} of {arm} {word} {numbers.plain(bound or 0)}{times}"
    if claim.asks == "better":
        condition = "better" if not claim.margin else f"better by more than {amount(claim.margin)}"
        if claim.matters and claim.matters > claim.margin:
            condition += f" (from {amount(claim.matters)} on it matters)"
    else:
        condition = "not worse" if not claim.margin else f"at most {amount(claim.margin)} worse"
    return f"{metric} of {arm} {condition} than that of {against}"


def _facts(claim: ClaimRecord, shown: Callable[[float | None], str], alone: str, unit: str) -> list[str]:
    """How the verdict came about: looks, other intervals, where the error comes from."""
    facts = []
    seeds = f"{claim.seeds} seed{'' if claim.seeds == 1 else 's'}"
    more = claim.all_seeds > claim.seeds
    if claim.verdict != "undecided":
        facts.append(f"Decided by {f'the first {claim.seeds} of {claim.all_seeds} seeds' if more else seeds}.")
    elif claim.looks:
        facts.append(f"Looked at after {' and '.join(str(look.seeds) for look in claim.looks)} seeds.")
    elif claim.seeds:
        facts.append(f"{seeds}: too few for a look.")
    if more and claim.difference_all_seeds is not None:
        facts.append(f"All {claim.all_seeds} seeds: {shown(claim.difference_all_seeds)} {unit}".rstrip() + ".")
    if alone:
        facts.append(f"95 % interval of this claim alone: {alone} {unit}".rstrip() + ".")
    if claim.seed_share is not None:
        share = round(100 * claim.seed_share)
        facts.append(f"Of the error's variance {share} % comes from seeds, {100 - share} % from test examples.")
    if claim.sd_over_floor is not None:
        facts.append(f"SD over seeds: {numbers.plain(round(claim.sd_over_floor, 2))} times its floor.")
    return facts


def _control(control: Control, shown: Callable[..., str], interval: Callable[..., str], unit: str) -> str:
    """The difference after temperature scaling, or why there is none."""
    if control.difference is None:
        return f"No control by temperature scaling: {control.reason}"
    found = " ".join(filter(None, [shown(control.difference), interval(control.interval), unit]))
    return f"After temperature scaling of both sides: {found}" + (f" ({control.reason})" if control.reason else "")


def _forecast(forecast: Forecast) -> str:
    if forecast.test_examples is not None:
        return f"More seeds would not decide it; a test set of {forecast.test_examples:,} examples would, at even odds."
    chance = f"{100 * forecast.probability:.0f} %"
    if forecast.seeds is not None:
        return f"{forecast.seeds} seeds would decide it with a probability of {chance}."
    if forecast.probability:
        return f"Not even the last look is likely to decide it ({chance})."
    return "It stays undecided: there is no later look."


def standing(claim: ClaimRecord) -> Standing | None:
    """Put a claim on the shared axis: 0 is no difference, 1 is what matters.

    Differences are divided by what matters. Ratios to a rival are placed by their logarithm, divided by that of their
    bound. A number without a rival stands at 1 where it meets its bound, and at 2 where it is twice as good. None where
    the claim has no interval, or an interval without finite ends.
    """
    if claim.interval is None or claim.difference is None or claim.edge is None or claim.matters is None:
        return None
    if claim.asks == "ratio":
        bound, sign = (claim.at_least, 1) if claim.at_least is not None else (claim.at_most or 1.0, -1)
        middle, shift = (1.0, 0.0) if claim.against else (bound, 1.0)
        unit = abs(math.log(bound)) if claim.against and bound != 1 else math.log(2)

        def place(value: float) -> float:
            return shift + sign * math.log(max(value, LEAST_RATIO) / middle) / unit

        edge, matters = place(claim.edge), place(claim.matters)
    else:  # a `not_worse` without a margin has nothing but the width of its interval to be measured by
        usual = Rule().matters if claim.metric == "accuracy" else (claim.interval[1] - claim.interval[0]) / 2
        unit = abs(claim.matters) or usual or 1.0
        edge, matters = claim.edge / unit, claim.matters / unit
        signed = unit if claim.more_is_better else -unit

        def place(value: float) -> float:
            return value / signed + 0.0

    low, high = sorted(map(place, claim.interval))
    ends = place(claim.difference), low, high, edge, matters
    if not all(map(math.isfinite, ends)):
        return None
    alone = claim.interval_alone and tuple(sorted(map(place, claim.interval_alone)))
    return Standing(*ends, alone, [value for value in map(place, claim.by_seed) if math.isfinite(value)])


def _glyph(claim: ClaimRecord) -> Standing | None:
    """The claim on a line from 0 to 1; what lies farther out stands at its end."""
    found = standing(claim)
    if found is None:
        return None
    reach = 1.15 * max(map(abs, (found.low, found.high, found.edge, found.matters))) or 1.0
    reach = max(reach, min(1.05 * max(map(abs, found.seeds), default=0.0), SEED_ROOM * reach))

    def place(value: float) -> float:
        return round(min(1.0, max(0.0, (value / reach + 1) / 2)), 4)

    ends = {key: place(getattr(found, key)) for key in ("estimate", "low", "high", "edge", "matters", "zero")}
    alone = found.alone and tuple(map(place, found.alone))
    return found._replace(**ends, alone=alone, seeds=list(map(place, found.seeds)))


def across_runs(claims: Sequence[ClaimRecord], here: Record, archives: Mapping[str, Archive]) -> tables.Table | None:
    """A row for each claim that at least two runs tested, a column for each run that tested one of them; or None.

    The claims are those of this run, decided; `here` is its baseline's record.
    """
    rows: dict[str, dict[str, ClaimRecord]] = {}
    for claim in claims:
        runs = {"": claim} if claim.tested else {}
        for name, archive in archives.items():
            found = archive.claims.get(claim.id)
            # a claim that is not tested here asks nothing yet
            same = found and (not claim.asks or all(getattr(found, key) == getattr(claim, key) for key in SAME))
            if found and same and found.tested:
                runs[name] = found
        if len(runs) > 1:
            rows[claim.id] = runs
    settings = {"": f"{here.data}, {here.model.name}"}
    settings |= {name: f"{archive.data}, {archive.model}" for name, archive in archives.items()}
    shown = [name for name in settings if any(name in runs for runs in rows.values())]
    lines: list[tuple[str, list[object]]] = []
    for identifier, runs in rows.items():
        cells = [_cell(runs[name]) if name in runs else numbers.MISSING for name in shown]
        lines.append((identifier, [*cells, holds([claim.verdict for claim in runs.values()])]))
    headings = [(name or "This run", settings[name]) for name in shown]
    return tables.table("Claim", [*headings, ("Holds across them", "")], lines) if rows else None


def holds(decided: Sequence[str]) -> str:
    """Whether a claim holds across runs with these verdicts: `yes`, `no`, `mixed` or `undecided`.

    One that is undecided leaves the whole undecided, unless others contradict each other already; `negligible` does not
    hold.
    """
    outcomes = {HOLDS.get(one, "undecided") for one in decided}
    if {"yes", "no"} <= outcomes:
        return "mixed"
    return outcomes.pop() if len(outcomes) == 1 else "undecided"


def _cell(claim: ClaimRecord) -> tables.Cell:
    found = view(claim.model_copy(update={"preset": ""}), {})
    measured = " ".join(filter(None, [found["difference"], found["interval"], found["unit"]]))
    rule = ", earlier rule" if claim.reason.startswith(EARLIER_RULE) else ""
    return tables.Cell(f"{found['mark']} {found['verdict']}", f"{measured}, {claim.seeds} seeds{rule}")
