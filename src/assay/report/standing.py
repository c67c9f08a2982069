"""A claim on the axis that all claims share: 0 is no difference, 1 is what matters, to the right the arm is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.config.claim import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assay.analysis.claims import ClaimRecord

LEAST_RATIO = 1e-9  # smaller ratios have no finite logarithm
TWICE = math.log(2)  # the unit of ratios that have no bound to be measured by


@dataclass(frozen=True)
class Standing:
    """Where a claim's numbers stand on the shared axis.

    Attributes:
        estimate: the difference at the deciding look.
        low: the low end of the interval that decides.
        high: its high end.
        alone: the ends of the 95 % interval of this claim alone; None where there is none.
        edge: beyond it the claim is true.
        matters: the smallest difference that matters.
        seeds: the difference of each common seed.
    """

    estimate: float
    low: float
    high: float
    alone: tuple[float, float] | None
    edge: float
    matters: float
    seeds: Sequence[float]


def standing(claim: ClaimRecord) -> Standing | None:
    """Put a claim on the shared axis.

    Differences are divided by what matters. Ratios to a rival are placed by their logarithm, divided by that of their
    bound. A number without a rival stands at 1 where it meets its bound, and at 2 where it is twice as good.

    Returns:
        None where the claim has no interval, or an interval without finite ends.
    """
    if claim.interval is None or claim.difference is None or claim.edge is None or claim.matters is None:
        return None
    place = _ratio(claim) if claim.asks == "ratio" else _difference(claim)
    edge, matters = (
        (place(claim.edge), place(claim.matters))
        if claim.asks == "ratio"
        else (claim.edge / _unit(claim), claim.matters / _unit(claim))
    )
    low, high = sorted(map(place, claim.interval))
    estimate = place(claim.difference)
    if not all(map(math.isfinite, (low, high, estimate, edge, matters))):
        return None
    alone = claim.interval_alone and tuple(sorted(map(place, claim.interval_alone)))
    seeds = [value for value in map(place, claim.by_seed) if math.isfinite(value)]
    return Standing(estimate, low, high, alone, edge, matters, seeds)  # type: ignore[arg-type]


def _difference(claim: ClaimRecord) -> Callable[[float], float]:
    unit = _unit(claim) if claim.more_is_better else -_unit(claim)
    return lambda value: value / unit + 0.0


def _unit(claim: ClaimRecord) -> float:
    """What a difference is divided by; a `not_worse` without a margin has nothing but the width of its interval."""
    low, high = claim.interval or (0.0, 0.0)
    usual = Rule().matters if claim.metric == "accuracy" else (high - low) / 2
    return abs(claim.matters or 0.0) or usual or 1.0


def _ratio(claim: ClaimRecord) -> Callable[[float], float]:
    bound, sign = (claim.at_least, 1) if claim.at_least is not None else (claim.at_most or 1.0, -1)
    middle, shift = (1.0, 0.0) if claim.against else (bound, 1.0)
    unit = abs(math.log(bound)) if claim.against and bound != 1 else TWICE

    def place(value: float) -> float:
        return shift + sign * math.log(max(value, LEAST_RATIO) / middle) / unit

    return place
