"""Claims whose verdict changed, and the regressions that fail the check.

A claim regresses where its verdict moves to `refuted`, or where the arm that it is about is significantly worse than it
was on the base. All claims whose arm changed are tested at once, at 5 % together, so noise fails one branch in twenty
at most (one in forty, since only the bad side counts).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assay.review import differences

if TYPE_CHECKING:
    from assay.review.differences import Difference
    from assay.review.side import Claim, Side

REFUTED = "refuted"


@dataclass(frozen=True)
class Moved:
    """A claim whose verdict is another one than on the base; a side is None where it has no such claim."""

    id: str
    statement: str
    old: Claim | None
    new: Claim | None


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
        old, new = base.claims.get(name), branch.claims.get(name)
        if old is None or new is None or old.verdict != new.verdict:
            found.append(Moved(name, claim.statement, old, new))
    return found


def regressions(branch: Side, base: Side) -> list[Regression]:
    """The claims that fail the check; one that the base does not have cannot."""
    altered = set(differences.changed(branch, base))
    tested = [claim for claim in branch.claims.values() if claim.id in base.claims and claim.arm in altered]
    found = []
    for claim in branch.claims.values():
        old = base.claims.get(claim.id)
        if old is None:
            continue
        was = old.verdict if claim.verdict == REFUTED != old.verdict else None
        worse = None
        if claim in tested:
            difference = differences.between(branch, base, claim.arm, claim.metric, len(tested))
            if difference:
                difference = replace(difference, more_is_better=claim.more_is_better)
            worse = difference if difference and difference.direction < 0 else None
        if was or worse:
            found.append(Regression(claim, was, worse))
    return found
