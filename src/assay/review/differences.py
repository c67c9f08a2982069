"""Branch minus base, for the same arm: paired by seed, with Student's t interval over seeds.

Both sides' per-seed metrics are in git, so every clone comes to the same answer, whatever its cache holds. The interval
speaks of seeds alone, on this test set; the page of the report has those over seeds and test examples together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis.statistics import CONFIDENCE, mean_of
from assay.core.config.blocks import arm_of_block, stages_of
from assay.scoring.metrics import measured, rises

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.pipeline.plan import Plan
    from assay.review.side import Evaluation, Side

FEWEST_SEEDS = 3
"""Two equal differences of an accuracy, which moves in steps of one test example, happen by chance too often."""


@dataclass(frozen=True)
class Difference:
    """A metric of one variant on the branch, and how it differs from the base.

    Attributes:
        metric: which.
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


def changed(branch: Side, base: Side) -> list[str]:
    """The variants, `<arm>/<variant>`, whose test results are not those of the base; the baseline's first."""
    names = [
        f"{arm}/{variant}"
        for arm, one in branch.evaluations.items()
        for variant in one.variants
        if arm not in base.evaluations or not _same(one.variants[variant], base.evaluations[arm].variants.get(variant))
    ]
    return sorted(names, key=lambda name: not name.startswith("baseline/"))


def altered(branch: Side, base: Side, name: str) -> bool:
    """Whether anything that a claim can read of a variant differs from the base: not its test results alone.

    Args:
        branch: one side.
        base: the other.
        name: `<arm>/<variant>`.
    """
    ours, theirs, variant = _sides(branch, base, name)
    if ours is None or theirs is None:
        return ours is not theirs
    if not _same(ours.variants.get(variant), theirs.variants.get(variant)):
        return True
    return not _same(*(one.model_dump(exclude={"variants"}) for one in (ours, theirs)))


def seeds_added(branch: Side, base: Side, name: str) -> bool:
    """Whether a variant differs from the base by further seeds alone, and those of the base gave the same.

    Args:
        branch: one side.
        base: the other.
        name: `<arm>/<variant>`.
    """
    ours, theirs, variant = _sides(branch, base, name)
    if ours is None or theirs is None or variant not in theirs.variants:
        return False
    if not set(theirs.seeds) < set(ours.seeds) or ours.data_digest != theirs.data_digest:
        return False
    if not _same(ours.model, theirs.model):
        return False
    return all(
        _by_seed(theirs, variant, metric).items() <= _by_seed(ours, variant, metric).items()
        for metric in theirs.variants[variant]
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


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two results are equal in all that both have: a key that newer code adds changes no result."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return all(_same(value, theirs[key]) for key, value in ours.items() if key in theirs)
    return bool(ours == theirs)


def between(
    branch: Side, base: Side, name: str, metric: str, comparisons: int = 1, more_is_better: bool | None = None
) -> Difference | None:
    """The difference of one variant in one metric; None where the branch has no such numbers.

    Args:
        branch: one side.
        base: the other.
        name: `<arm>/<variant>`.
        metric: a key of the variants whose value is a list with a number a seed.
        comparisons: how many are made at once: each interval then has a confidence of 1 - 0.05 / comparisons, so that
            noise makes one of them all exclude 0 at most once in twenty times (Bonferroni).
        more_is_better: the direction in which the metric improves; None: as the table of metrics says.
    """
    ours, theirs, variant = _sides(branch, base, name)
    new = _by_seed(ours, variant, metric)
    if ours is None or not new:
        return None
    old = _by_seed(theirs, variant, metric)
    mean = fmean(new.values())
    if theirs is None or not old:
        return Difference(metric, mean, reason="new")
    if ours.data_digest != theirs.data_digest:
        return Difference(metric, mean, reason="other data")
    seeds = tuple(seed for seed in new if seed in old)
    if not seeds:
        return Difference(metric, mean, reason="no common seed")
    found = mean_of(np.array([[new[seed] - old[seed]] for seed in seeds]), seeds)
    if len(seeds) < FEWEST_SEEDS:
        return Difference(metric, mean, found.value, reason=f"fewer than {FEWEST_SEEDS} common seeds")
    interval = found.interval(1 - (1 - CONFIDENCE) / comparisons)
    reason = found.reason if found.value else ""  # that equal numbers are equal needs none
    return Difference(metric, mean, found.value, interval, reason, rises(metric, more_is_better))


def significant(branch: Side, base: Side, name: str, comparisons: int) -> bool:
    """Whether a variant differs in any metric of the test set by more than chance does in so many comparisons."""
    found = (between(branch, base, name, metric, comparisons) for metric in measured())
    return any(one is not None and one.direction != 0 for one in found)


def _sides(branch: Side, base: Side, name: str) -> tuple[Evaluation | None, Evaluation | None, str]:
    """The evaluations of a variant's arm on both sides, and the variant's own name."""
    arm, _, variant = name.partition("/")
    return branch.evaluations.get(arm), base.evaluations.get(arm), variant


def _by_seed(evaluation: Evaluation | None, variant: str, metric: str) -> Mapping[int, float]:
    if evaluation is None or variant not in evaluation.variants:
        return {}
    values = evaluation.variants[variant].get(metric)
    if not isinstance(values, list) or len(values) != len(evaluation.seeds):
        return {}
    if not all(isinstance(value, int | float) for value in values):
        return {}
    return dict(zip(evaluation.seeds, values, strict=True))
