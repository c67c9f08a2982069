"""Branch minus base, for the same variant: paired by seed, with Student's t interval over seeds.

The numbers by seed of both sides are in git, so every clone comes to the same answer, whatever its cache holds. The
interval is over seeds alone, on this test set; those of the report are over seeds and test examples.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from assay.analysis.statistics import CONFIDENCE, mean_of
from assay.core.config.blocks import arm_of_block, stages_of
from assay.report import numbers
from assay.scoring.metrics import lookup, measured, rises

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.analysis.seeds import Seeds
    from assay.pipeline.plan import Plan
    from assay.review.snapshot import Snapshot

FEWEST_SEEDS = 3
"""Two equal differences of an accuracy, which moves in steps of one test example, happen by chance too often."""


@dataclass(frozen=True)
class Difference:
    """A metric of one variant on the branch, and how it differs from the base.

    Attributes:
        metric: its name.
        mean: over the branch's seeds.
        difference: mean paired difference over the common seeds; None where there is none.
        interval: of that difference; None where it cannot be had.
        reason: why; else empty.
        more_is_better: the direction in which the metric improves; None without an interval.
    """

    metric: str
    mean: float
    difference: float | None = None
    interval: tuple[float, float] | None = None
    reason: str = ""
    more_is_better: bool | None = None

    @property
    def direction(self) -> int:
        """1 where it is significantly better, -1 where worse, else 0."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return 0
        return 1 if (self.interval[0] > 0) == self.more_is_better else -1

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


def altered(branch: Snapshot, base: Snapshot, name: str) -> bool:
    """Whether anything that a claim can read of a variant differs from the base."""
    ours, theirs = branch.seeds.get(name), base.seeds.get(name)
    if ours is None or theirs is None:
        return ours is not theirs
    return ours.data != theirs.data or ours.numbers.keys() != theirs.numbers.keys() or not _agree(ours, theirs)


def seeds_added(branch: Snapshot, base: Snapshot, name: str) -> bool:
    """Whether a variant differs from the base by further seeds alone, and those of the base gave the same."""
    ours, theirs = branch.seeds.get(name), base.seeds.get(name)
    if ours is None or theirs is None or ours.data != theirs.data:
        return False
    return theirs.numbers.keys() < ours.numbers.keys() and _agree(ours, theirs)


def _agree(ours: Seeds, theirs: Seeds) -> bool:
    """Whether the seeds of the base have equal numbers; a column that only newer code writes changes no result."""
    return all(
        row[metric] == ours.numbers[seed][metric]
        for seed, row in theirs.numbers.items()
        for metric in row.keys() & ours.numbers[seed].keys()
    )


def with_own_cause(plan: Plan, arms: Iterable[str]) -> set[str]:
    """The arms that reran for a reason of their own, and those that start from such an arm.

    A reason is an arm's own if at most half of the arms share it. Of an arm that reruns anyway, for a reason
    that most share (a change of the engine or of the budget), only its own parameters count, not its method's code.

    Args:
        plan: why stages rerun, against the base's dvc.lock.
        arms: those of the branch, with the baseline and the pruning rounds.
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
        if kind == "upstream":
            own = what in found
        else:
            own = (kind, what) not in common and (kind in ("parameter", "new") or arm not in anyway)
        if own:
            found[stage] = arm
    return set(found.values())


def between(
    branch: Snapshot,
    base: Snapshot,
    name: str,
    metric: str,
    comparisons: int = 1,
    more_is_better: bool | None = None,
) -> Difference | None:
    """The difference of one variant in one metric; None where a seed of the branch lacks the number.

    Args:
        branch: one side.
        base: the other.
        name: `<arm>/<variant>`.
        metric: a column of metrics/seeds.csv.
        comparisons: how many are made at once: each interval then has a confidence of 1 - 0.05 / comparisons, so that
            noise makes one of them all exclude 0 at most once in twenty times (Bonferroni).
        more_is_better: the direction in which the metric improves; None: as the table of metrics says.
    """
    ours, theirs = branch.seeds.get(name), base.seeds.get(name)
    new = ours.of(metric) if ours else {}
    if ours is None or not new:
        return None
    old = theirs.of(metric) if theirs else {}
    mean = fmean(new.values())
    if theirs is None or not old:
        return Difference(metric, mean, reason="new")
    if ours.data != theirs.data:
        return Difference(metric, mean, reason="other data")
    common = tuple(seed for seed in new if seed in old)
    if not common:
        return Difference(metric, mean, reason="no common seed")
    found = mean_of(np.array([[new[seed] - old[seed]] for seed in common]), common)
    if len(common) < FEWEST_SEEDS:
        return Difference(metric, mean, found.value, reason=f"fewer than {FEWEST_SEEDS} common seeds")
    interval = found.interval(1 - (1 - CONFIDENCE) / comparisons)
    reason = found.reason if found.value else ""  # that equal numbers are equal needs none
    return Difference(metric, mean, found.value, interval, reason, rises(metric, more_is_better))


def significant(branch: Snapshot, base: Snapshot, name: str, comparisons: int) -> bool:
    """Whether a variant differs in any metric of the test set by more than chance does in so many comparisons."""
    found = (between(branch, base, name, metric, comparisons) for metric in measured())
    return any(one is not None and one.direction != 0 for one in found)


def columns() -> list[str]:
    """The headings of `cells`: each metric, then its change."""
    heads = (", ".join(filter(None, (lookup(metric).label, lookup(metric).unit))) for metric in measured())
    return [cell for head in heads for cell in (head, "change, 95 % interval")]


def cells(branch: Snapshot, base: Snapshot, name: str) -> list[str]:
    """For each metric of a variant, its mean and how it changed."""
    found = []
    for metric in measured():
        one = between(branch, base, name, metric)
        if one is None:
            found += [numbers.MISSING, ""]
        else:
            found += [numbers.fixed(lookup(metric).scale * one.mean, _places(metric, one.interval)), one.change]
    return found


def signed(metric: str, difference: float, interval: tuple[float, float] | None) -> str:
    """A difference with its sign and interval, in the metric's unit."""
    scale, places = lookup(metric).scale, _places(metric, interval)
    text = numbers.signed(scale * difference, places)
    return f"{text} {numbers.interval(scale * interval[0], scale * interval[1], places)}" if interval else text


def _places(metric: str, interval: tuple[float, float] | None) -> int:
    known = lookup(metric)
    return numbers.decimals([known.scale * (interval[1] - interval[0]) / 2] if interval else [], known.decimals)
