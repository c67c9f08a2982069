"""Claims whose verdict changed, and the regressions that fail the check.

A claim regresses where its verdict falls (reproduced to negligible or refuted, negligible or undecided to refuted), or
where the arm that it is about is significantly worse than it was on the base. All claims whose arm changed are tested
at once, at 5 % together, so noise fails one branch in twenty at most (one in forty, since only the bad side counts).

A verdict can also move although nothing that the claim is about did: more seeds, or another rule, decide it. Such a
move is shown, and cannot fail the check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.report import numbers
from assay.review import differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.review.differences import Difference
    from assay.review.snapshot import Claim, Snapshot

WORSE = {"reproduced": ("negligible", "refuted"), "negligible": ("refuted",), "undecided": ("refuted",)}
DEFINITION = frozenset({"metric", "asks", "more_is_better", "margin", "at_most", "at_least", "arm", "against"})


@dataclass(frozen=True)
class Moved:
    """A claim whose verdict is another one than on the base.

    Attributes:
        claim: the branch's, or the base's where the branch has it no more.
        old: the base's verdict; None where it has no such claim.
        new: the branch's.
        because: why it moved, if the branch changed nothing that the claim is about; else empty.
    """

    claim: Claim
    old: str | None
    new: str | None
    because: str = ""

    @property
    def interval(self) -> str:
        """The difference or ratio that the verdict rests on, with its interval."""
        claim = self.claim
        if not self.new or claim.difference is None:
            return ""
        if claim.asks != "ratio":
            return differences.signed(claim.metric, claim.difference, claim.interval)
        ends = f" [{numbers.span(*claim.interval, 3)}]" if claim.interval else ""
        return f"{numbers.fixed(claim.difference, 3)}{ends}"


@dataclass(frozen=True)
class Regression:
    """A claim that fails the check: by its verdict, or by the difference of its arm; either may be None."""

    claim: Claim
    was: str | None
    difference: Difference | None

    def __str__(self) -> str:
        parts = [f"its verdict moved from {self.was} to {self.claim.verdict}"] if self.was else []
        if self.difference:
            parts.append(f"{self.claim.metric} of {self.claim.arm} is worse by {self.difference.change}")
        return "; ".join(parts)


def headline(failed: Sequence[Regression], moved: Sequence[Moved]) -> str:
    """`1 claim regressed`, or that none did and how many verdicts changed."""
    if failed:
        return f"{len(failed)} claim{'' if len(failed) == 1 else 's'} regressed"
    own = sum(not one.because for one in moved)
    changed = f"{own} verdict{'' if own == 1 else 's'} changed" if own else "no verdict changed"
    others = f", {len(moved) - own} moved without a change of their arms" if len(moved) > own else ""
    return f"No claim regressed; {changed}{others}"


def moved(branch: Snapshot, base: Snapshot) -> list[Moved]:
    """The claims whose verdict differs, in the base's order, then those that are new."""
    found = []
    for name, claim in {**base.claims, **branch.claims}.items():
        old, new = (side.claims[name].verdict if name in side.claims else None for side in (base, branch))
        if old == new:
            continue
        because = "" if touched(branch, base, claim) else _because(branch, base, name)
        found.append(Moved(claim, old, new, because))
    return found


def _because(branch: Snapshot, base: Snapshot, name: str) -> str:
    rules = [side.params.get("rule") if isinstance(side.params, dict) else None for side in (branch, base)]
    if rules[0] != rules[1]:
        return "`rule` of params.yaml changed"
    old, new = base.claims[name].seeds, branch.claims[name].seeds
    return f"seeds: {old} → {new}" if old != new else "the code that decides it changed"


def touched(branch: Snapshot, base: Snapshot, claim: Claim) -> bool:
    """Whether a claim's results on either side, or its own definition, are not those of the base.

    A claim that only one side has is touched. Keys that only newer code writes are no change of a definition, and
    seeds that were added to those of the base, whose results stand, are no change of a result.
    """
    old, new = (side.claims.get(claim.id) for side in (base, branch))
    if old is None or new is None:
        return True
    fields = DEFINITION & old.model_fields_set & new.model_fields_set
    if any(getattr(old, field) != getattr(new, field) for field in fields):
        return True
    return any(
        differences.altered(branch, base, name) and not differences.seeds_added(branch, base, name)
        for name in (new.arm, new.against)
        if name
    )


def regressions(branch: Snapshot, base: Snapshot) -> list[Regression]:
    """The claims that fail the check; one that the base does not have, or does not test, cannot."""
    altered = set(differences.changed(branch, base))
    known = [claim for claim in branch.claims.values() if claim.id in base.claims]
    tested = sum(claim.arm in altered for claim in known)
    found = []
    for claim in known:
        old, worse = base.claims[claim.id].verdict, None
        fails = claim.verdict in WORSE.get(old, ()) and touched(branch, base, claim)
        was = old if fails else None
        if claim.arm in altered:
            worse = differences.between(branch, base, claim.arm, claim.metric, tested, claim.more_is_better)
        if worse and worse.direction >= 0:
            worse = None
        if was or worse:
            found.append(Regression(claim, was, worse))
    return found
