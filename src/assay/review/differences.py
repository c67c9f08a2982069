"""Branch minus base: the metrics of each variant, the verdicts that moved, and the regressions that fail the check.

Metrics are paired by seed, with Student's t interval over seeds. The numbers by seed of both sides are in git, so every
clone comes to the same answer, whatever its cache holds. The interval is over seeds alone, on this test set; those of
the report are over seeds and test examples.

A claim regresses where its verdict falls (reproduced to negligible or refuted, negligible or undecided to refuted), or
where the arm that it is about is significantly worse than it was on the base. All claims whose arm changed are tested
at once, at 5 % together, so noise fails one branch in twenty at most (one in forty, since only the bad side counts).

A verdict can also move although nothing that the claim is about did: more seeds, or another rule, decide it. Such a
move is shown, and cannot fail the check.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from assay.analysis.seeds import Seeds
from assay.analysis.statistics import mean_of
from assay.core.config.blocks import arm_of_block, stages_of
from assay.core.config.claim import CONFIDENCE
from assay.report import numbers
from assay.scoring.metrics import lookup, measured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.pipeline.plan import Plan
    from assay.review.snapshot import Claim, Snapshot

FEWEST_SEEDS = 3
"""Two equal differences of an accuracy, which moves in steps of one test example, happen by chance too often."""

WORSE = {"reproduced": ("negligible", "refuted"), "negligible": ("refuted",), "undecided": ("refuted",)}
DEFINITION = frozenset({"metric", "asks", "more_is_better", "margin", "at_most", "at_least", "arm", "against"})


@dataclass(frozen=True)
class Difference:
    """A metric of one variant on the branch, and how it differs from the base."""

    metric: str
    mean: float  # over the branch's seeds
    difference: float | None = None  # the mean paired difference over the common seeds; None where there is none
    interval: tuple[float, float] | None = None  # of that difference; None where it cannot be had
    reason: str = ""  # why it cannot; else empty
    more_is_better: bool | None = None  # the direction in which the metric improves; None: not known, or no interval

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        low, high = self.interval or (0, 0)
        return not low <= 0 <= high

    @property
    def direction(self) -> int:
        """1 where it is significantly better, -1 where worse, else 0; also where neither way is better."""
        if not self.significant or self.more_is_better is None:
            return 0
        return 1 if ((self.difference or 0) > 0) == self.more_is_better else -1

    @property
    def change(self) -> str:
        """The difference with its interval and a mark where it is significant, or why there is none."""
        if self.difference is None:
            return self.reason
        mark = {1: " ▲", 0: "", -1: " ▼"}[self.direction]
        text = signed(self.metric, self.difference, self.interval)
        return f"{text}{mark}" + (f" ({self.reason})" if self.reason else "")


def changed(branch: Snapshot, base: Snapshot) -> list[str]:
    """The variants of the branch, `<arm>/<variant>`, whose results are not those of the base; the baseline's first."""
    names = [name for name in branch.seeds if altered(branch, base, name)]
    return sorted(names, key=lambda name: not name.startswith("baseline/"))


def altered(branch: Snapshot, base: Snapshot, name: str, may_add_seeds: bool = False) -> bool:
    """Whether anything that a claim can read of a variant differs from the base.

    A column that only newer code writes changes no result. With `may_add_seeds`, seeds beside those of the base, which
    gave the same, change none either.
    """
    ours, theirs = branch.seeds.get(name), base.seeds.get(name)
    if ours is None or theirs is None:
        return ours is not theirs
    new, old = ours.numbers, theirs.numbers
    if ours.data != theirs.data or not new.keys() >= old.keys() or (len(new) > len(old) and not may_add_seeds):
        return True
    return any(row[one] != new[seed][one] for seed, row in old.items() for one in row.keys() & new[seed].keys())


def with_own_cause(plan: Plan, arms: Iterable[str]) -> set[str]:
    """The arms that reran for a reason of their own, and those that start from such an arm.

    A reason is an arm's own if at most half of the arms share it. Of an arm that reruns anyway, for a reason
    that most share (a change of the engine or of the budget), only its own parameters count, not its method's code.

    `plan` says why stages rerun, against the base's dvc.lock; `arms` are the branch's, baseline and rounds included.
    """
    stages = {stage: arm for arm in arms for stage in stages_of(arm)}
    stages |= {step.stage: arm for step in plan.steps if (arm := arm_of_block(step.stage))}
    why = [
        (stages[step.stage], step.stage, (reason.kind, reason.what if reason.kind != "command" else ""))
        for step in plan.steps
        for reason in step.reasons
        if step.stage in stages
    ]
    sharing = Counter(reason for _, reason in {(arm, reason) for arm, _, reason in why if reason[0] != "upstream"})
    common = {reason for reason, count in sharing.items() if 2 * count > len(set(stages.values()))}
    anyway = {arm for arm, _, reason in why if reason in common}
    found: dict[str, str] = {}  # by stage
    for arm, stage, (kind, what) in why:  # stages come after those that they depend on
        own = (kind, what) not in common and (kind in ("parameter", "new") or arm not in anyway)
        if (kind == "upstream" and what in found) or (kind != "upstream" and own):
            found[stage] = arm
    return set(found.values())


def between(
    branch: Snapshot, base: Snapshot, name: str, metric: str, comparisons: int = 1, more_is_better: bool | None = None
) -> Difference | None:
    """The difference of `<arm>/<variant>` in a column of metrics/seeds.csv; None where a seed of the branch lacks it.

    The interval has a confidence of 1 - 0.05 / `comparisons`, so that noise makes one of so many exclude 0 at most once
    in twenty times (Bonferroni). The metric improves as `more_is_better` says, or as its table does where that is None.
    """
    ours, theirs = (side.seeds.get(name, Seeds("", {})) for side in (branch, base))
    new, old = ours.of(metric), theirs.of(metric)
    if not new:
        return None
    mean, common = fmean(new.values()), tuple(seed for seed in new if seed in old)
    if not old or ours.data != theirs.data:
        return Difference(metric, mean, reason="other data" if old else "new")
    if not common:
        return Difference(metric, mean, reason="no common seed")
    found = mean_of(np.array([[new[seed] - old[seed]] for seed in common]), common)
    if len(common) < FEWEST_SEEDS:
        return Difference(metric, mean, found.value, reason=f"fewer than {FEWEST_SEEDS} common seeds")
    interval = found.interval(1 - (1 - CONFIDENCE) / comparisons)
    reason = found.reason if found.value else ""  # that equal numbers are equal needs none
    up = lookup(metric).higher_is_better if more_is_better is None else more_is_better
    return Difference(metric, mean, found.value, interval, reason, up)


def significant(branch: Snapshot, base: Snapshot, name: str, comparisons: int) -> bool:
    """Whether a variant differs in any metric of the test set by more than chance does in so many comparisons."""
    found = (between(branch, base, name, metric, comparisons) for metric in measured())
    return any(one is not None and one.significant for one in found)


def columns() -> list[str]:
    """The headings of `cells`: each metric, then its change."""
    heads = (", ".join(filter(None, (lookup(metric).label, lookup(metric).unit))) for metric in measured())
    return [cell for head in heads for cell in (head, "change, 95 % interval")]


def cells(branch: Snapshot, base: Snapshot, name: str) -> list[str]:
    """For each metric of a variant, its mean and how it changed."""
    found = []
    for metric in measured():
        one = between(branch, base, name, metric)
        mean = numbers.fixed(lookup(metric).scale * one.mean, _places(metric, one.interval)) if one else numbers.MISSING
        found += [mean, one.change if one else ""]
    return found


def signed(metric: str, difference: float, interval: tuple[float, float] | None) -> str:
    """A difference with its sign and interval, in the metric's unit."""
    scale, places = lookup(metric).scale, _places(metric, interval)
    text = numbers.signed(scale * difference, places)
    return f"{text} {numbers.interval(scale * interval[0], scale * interval[1], places)}" if interval else text


def _places(metric: str, interval: tuple[float, float] | None) -> int:
    known = lookup(metric)
    return numbers.decimals([known.scale * (interval[1] - interval[0]) / 2] if interval else [], known.decimals)


@dataclass(frozen=True)
class Moved:
    """A claim whose verdict is another one than on the base; None as a verdict stands for no such claim."""

    claim: Claim  # the branch's, or the base's where the branch has it no more
    old: str | None
    new: str | None
    because: str = ""  # why it moved, if the branch changed nothing that the claim is about; else empty

    @property
    def interval(self) -> str:
        """The difference or ratio that the verdict rests on, with its interval."""
        claim = self.claim
        if not self.new or claim.difference is None:
            return ""
        if claim.asks != "ratio":
            return signed(claim.metric, claim.difference, claim.interval)
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


def moved(branch: Snapshot, base: Snapshot) -> list[Moved]:
    """The claims whose verdict differs, in the base's order, then those that are new."""
    new_rule, old_rule = (side.params.get("rule") if isinstance(side.params, dict) else None for side in (branch, base))
    found = []
    for name, claim in {**base.claims, **branch.claims}.items():
        new, old = (side.claims.get(name) for side in (branch, base))
        if new and old and new.verdict == old.verdict:
            continue
        because = ""
        if new and old and not touched(branch, base, claim):
            because = "the code that decides it changed"
            if new_rule != old_rule:
                because = "`rule` of params.yaml changed"
            elif new.seeds != old.seeds:
                because = f"seeds: {old.seeds} → {new.seeds}"
        found.append(Moved(claim, old.verdict if old else None, new.verdict if new else None, because))
    return found


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
    arms = (new.arm, new.against)
    return any(altered(branch, base, name, may_add_seeds=True) for name in arms if name)


def regressions(branch: Snapshot, base: Snapshot) -> list[Regression]:
    """The claims that fail the check; one that the base does not have, or does not test, cannot.

    Nor can one whose verdict is that of an archived run: what it is about is not of this one.
    """
    differ = set(changed(branch, base))
    theirs = {name: claim for name, claim in base.claims.items() if not claim.archived}
    known = [claim for claim in branch.claims.values() if claim.id in theirs and not claim.archived]
    tested = sum(claim.arm in differ for claim in known)
    found = []
    for claim in known:
        was, worse = theirs[claim.id].verdict, None
        fell = claim.verdict in WORSE.get(was, ()) and touched(branch, base, claim)
        if claim.arm in differ:
            worse = between(branch, base, claim.arm, claim.metric, tested, claim.more_is_better)
        worse = worse if worse and worse.direction < 0 else None
        if fell or worse:
            found.append(Regression(claim, was if fell else None, worse))
    return found
