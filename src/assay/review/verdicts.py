"""Claims whose verdict changed, and the regressions that fail the check.

A claim regresses where its verdict moves to `refuted`, or where the arm that it is about is significantly worse than it
was on the base. All claims whose arm changed are tested at once, at 5 % together, so noise fails one branch in twenty
at most (one in forty, since only the bad side counts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.review import differences

if TYPE_CHECKING:
    from assay.review.differences import Difference
    from assay.review.side import Claim, Side

REFUTED = "refuted"


@dataclass(frozen=True)
class Moved:
    """A claim whose verdict is another one than on the base.

    Attributes:
        claim: the branch's, or the base's where the branch has it no more.
        old: the base's verdict; None where it has no such claim.
        new: the branch's.
    """

    claim: Claim
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Regression:
    """A claim that fails the check: by its verdict, or by the difference of its arm; either may be None."""

    claim: Claim
    was: str | None
    difference: Difference | None


def moved(branch: Side, base: Side) -> list[Moved]:
    """The claims whose verdict differs, in the base's order, then those that are new."""
    found = []
    for name, claim in {**base.claims, **branch.claims}.items():
        old, new = (side.claims[name].verdict if name in side.claims else None for side in (base, branch))
        if old != new:
            found.append(Moved(claim, old, new))
    return found


def regressions(branch: Side, base: Side) -> list[Regression]:
    """The claims that fail the check; one that the base does not have cannot."""
    altered = set(differences.changed(branch, base))
    known = [claim for claim in branch.claims.values() if claim.id in base.claims]
    tested = sum(claim.arm in altered for claim in known)
    found = []
    for claim in known:
        old, worse = base.claims[claim.id].verdict, None
        was = old if claim.verdict == REFUTED != old else None
        if claim.arm in altered:
            worse = differences.between(branch, base, claim.arm, claim.metric, tested, claim.more_is_better)
        if worse and worse.direction >= 0:
            worse = None
        if was or worse:
            found.append(Regression(claim, was, worse))
    return found
