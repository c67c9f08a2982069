"""What a branch did to verdicts and metrics, in words and numbers for the comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report import numbers
from assay.review import differences
from assay.scoring.metrics import lookup, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.review.differences import Difference
    from assay.review.side import Side
    from assay.review.verdicts import Moved, Regression


def headline(failed: Sequence[Regression], moved: Sequence[Moved]) -> str:
    """`1 claim regressed`, or that none did and how many verdicts changed."""
    if failed:
        return f"{len(failed)} claim{'' if len(failed) == 1 else 's'} regressed"
    own = sum(not one.because for one in moved)
    changed = f"{own} verdict{'' if own == 1 else 's'} changed" if own else "no verdict changed"
    others = f", {len(moved) - own} moved without a change of their arms" if len(moved) > own else ""
    return f"No claim regressed; {changed}{others}"


def describe(one: Regression) -> str:
    """Why a claim fails the check."""
    parts = [f"its verdict moved from {one.was} to {one.claim.verdict}"] if one.was else []
    if one.difference:
        parts.append(f"{one.claim.metric} of {one.claim.arm} is worse by {_change(one.difference)}")
    return "; ".join(parts)


def interval(one: Moved) -> str:
    """The difference or ratio that a claim's verdict rests on, with its interval."""
    claim = one.claim
    if not one.new or claim.difference is None:
        return ""
    if claim.asks != "ratio":
        return _signed(claim.metric, claim.difference, claim.interval)
    ends = f" [{numbers.span(*claim.interval, 3)}]" if claim.interval else ""
    return f"{numbers.fixed(claim.difference, 3)}{ends}"


def columns() -> list[str]:
    """The headings of `row`: each metric, then its change."""
    heads = (", ".join(filter(None, (lookup(metric).label, lookup(metric).unit))) for metric in measured())
    return [cell for head in heads for cell in (head, "change, 95 % interval")]


def row(branch: Side, base: Side, name: str) -> list[tuple[str, str]]:
    """For each metric of a variant, its mean and how it changed."""
    cells = []
    for metric in measured():
        found = differences.between(branch, base, name, metric)
        if found is None:
            cells.append((numbers.MISSING, ""))
        else:
            scale, places = lookup(metric).scale, _places(metric, found.interval)
            cells.append((numbers.fixed(scale * found.mean, places), _change(found)))
    return cells


def _change(found: Difference) -> str:
    mark = {1: " ▲", 0: "", -1: " ▼"}[found.direction]
    if found.difference is None:
        return found.reason
    text = _signed(found.metric, found.difference, found.interval)
    return f"{text}{mark}" + (f" ({found.reason})" if found.reason else "")


def _signed(metric: str, difference: float, interval: tuple[float, float] | None) -> str:
    scale, places = lookup(metric).scale, _places(metric, interval)
    text = numbers.signed(scale * difference, places)
    return f"{text} {numbers.interval(scale * interval[0], scale * interval[1], places)}" if interval else text


def _places(metric: str, interval: tuple[float, float] | None) -> int:
    known = lookup(metric)
    return numbers.decimals([known.scale * (interval[1] - interval[0]) / 2] if interval else [], known.decimals)
