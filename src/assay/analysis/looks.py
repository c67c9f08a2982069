"""One claim under the rule: its paired numbers, the looks that its seeds allow, its verdict, what would decide it.

Metrics of the test set are means over examples too, so their differences rest on seeds and examples (`statistics`).
Everything else is a number a seed: a count, a step read off the curves, or what the method wrote into its record.
`assay.analysis.claims` describes the fields of the result; `assay.analysis.rule` is the rule itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis import rule as rules
from assay.analysis import statistics
from assay.analysis.rule import OUTCOMES, Evidence
from assay.core.config import split_variant
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.scoring.metrics import measured, per_example, rises

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float64

    from assay.analysis.rule import Decision
    from assay.analysis.statistics import Estimate
    from assay.core.config.claim import Claim, Rule
    from assay.scoring.predictions import Array, Predictions
    from assay.scoring.record import Evaluation, Record


@dataclass(frozen=True)
class ClaimArm:
    """One of the two variants of a claim; `key` is the key of params.yaml that names it, for messages."""

    record: Record
    variant: str
    predictions: Predictions
    key: str

    @property
    def name(self) -> str:
        """`<arm>/<variant>`."""
        return f"{self.record.arm}/{self.variant}"


@dataclass(frozen=True)
class Sample:
    """The paired numbers that a claim stands on.

    Attributes:
        seeds: those that both sides have, in the order asked for.
        table: for each seed the difference, arm minus rival, or of a ratio the logarithm of arm / rival, or of the
            arm's own number where there is no rival; a column for each test example, or one for all.
        ratio: whether it holds logarithms.
        examples: whether the columns are test examples.
        answer: the greatest difference that one right or wrong answer makes; None where the numbers are none.
        reason: why there is nothing to decide from; empty where there is.
    """

    seeds: tuple[int, ...]
    table: Float64[Array, "seed example"]
    ratio: bool = False
    examples: bool = False
    answer: float | None = None
    reason: str = ""

    @property
    def one_example(self) -> bool:
        """Whether the test set has a single example, which says nothing of how examples vary."""
        return self.examples and self.table.shape[1] == 1

    def estimate(self, count: int | None = None) -> Estimate:
        """The mean over all seeds, or the first `count`, with the 95 % interval of this claim alone."""
        rows, seeds = self.table[:count], self.seeds[:count]
        if self.reason:
            return statistics.Estimate(None, seeds, ratio=self.ratio, reason=self.reason)
        return (statistics.ratio_of if self.ratio else statistics.mean_of)(rows, seeds, self.examples)


def find(evaluations: Mapping[str, Evaluation], name: str, key: str) -> ClaimArm:
    """The variant that `arm` (its first) or `arm/variant` names under a key of params.yaml.

    Raises:
        AssayError: there is no such arm or variant; the line lists those that there are.
    """
    arm, variant = split_variant(name)
    if arm not in evaluations:
        raise AssayError(f"{key}: {arm!r} was not evaluated; {suggestion(arm, list(evaluations))}")
    record, predictions = evaluations[arm].record, evaluations[arm].predictions
    variant = variant or next(iter(record.variants))
    if variant not in predictions:
        raise AssayError(f"{key}: {arm} has no variant {variant!r}; {suggestion(variant, list(record.variants))}")
    return ClaimArm(record, variant, predictions[variant], key)


def sample(claim: Claim, arm: ClaimArm, against: ClaimArm | None, order: Sequence[int]) -> Sample:
    """The numbers of the seeds that both sides have: those of `order` first and as there, then the others.

    Raises:
        AssayError: a side does not have the metric; the line names it.
    """
    place = {seed: at for at, seed in enumerate(order)}
    own_seeds, rival_seeds = arm.record.seeds, (against or arm).record.seeds
    seeds, *_ = statistics.common(sorted(own_seeds, key=lambda seed: place.get(seed, len(place))), rival_seeds)
    metric, ratio = str(claim.metric), claim.verdict == "ratio"
    sides = [_table(metric, side)[[side.record.seeds.index(seed) for seed in seeds]] for side in (arm, against) if side]
    examples = metric in measured()
    reason = statistics.not_finite(np.concatenate(sides, 1), seeds) if seeds else "no seed is common to both"
    if ratio and not reason and min(side.mean(1).min() for side in sides) <= 0:
        reason = "a ratio needs numbers above 0 on both sides" if against else "a ratio needs numbers above 0"
    if reason:
        return Sample(seeds, np.empty((0, 0)), ratio, examples, reason=reason)
    answer = None if metric != "accuracy" else 1 / min(side.mean(1).min() for side in sides) if ratio else 1.0
    own, *rivals = [_logarithms(side) for side in sides] if ratio else sides
    return Sample(seeds, own - rivals[0] if rivals else own, ratio, examples, answer)


def _logarithms(table: Float64[Array, "seed example"]) -> Float64[Array, "seed example"]:
    """Numbers of each example whose mean is the logarithm of the seed's mean: its first-order expansion."""
    means = table.mean(1, keepdims=True)
    return np.log(means) + (table / means - 1)  # type: ignore[no-any-return]


def _table(metric: str, side: ClaimArm) -> Float64[Array, "seed example"]:
    """The numbers of one side: of each example, or in one column those of each seed."""
    return per_example(metric, side.predictions) if metric in measured() else values(metric, side)[:, None]


def values(metric: str, side: ClaimArm) -> Float64[Array, " seed"]:
    """The number of each seed as its record has it; NaN where that has None.

    Raises:
        AssayError: there is no such number.
    """
    record, variant = side.record, side.record.variants[side.variant]
    if metric.startswith(RECORD):
        found = _recorded(side, metric.removeprefix(RECORD))
    else:
        found = {**record.costs(variant)._asdict(), **dict(variant)}.get(metric)
    if isinstance(found, int | float):
        found = [found] * len(record.seeds)
    known = isinstance(found, list) and all(isinstance(one, int | float | None) for one in found)
    if not known or len(found) != len(record.seeds):
        raise AssayError(f"{side.key}: {side.name} has no {metric} for each seed; choose another metric")
    return np.array(found, dtype=np.float64)


def _recorded(side: ClaimArm, path: str) -> Any:
    """What stands in the record under `a.b.c`."""
    found: Any = side.record.record
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            there = sorted(found) if isinstance(found, dict) else []
            raise AssayError(f"{side.key}: the record of {side.record.arm} has no {path}; {suggestion(key, there)}")
        found = found[key]
    return found


class Test:
    """One claim under the rule: `sign` turns the metric's direction into the claim's."""

    def __init__(
        self,
        claim: Claim,
        sides: Mapping[str, ClaimArm],
        found: Sample,
        rule: Rule,
        order: tuple[int, ...],
        bounds: tuple[float, float],
    ) -> None:
        self.sides, self.found, self.rule, self.order = sides, found, rule, order
        up = claim.at_least is not None if found.ratio else rises(str(claim.metric), claim.more_is_better)
        self.sign = 1.0 if up else -1.0
        self.edge, self.matters = (self.sign * math.log(one) for one in bounds) if found.ratio else bounds
        same = (mine == theirs for mine, theirs in zip(found.seeds, order, strict=False))
        in_order = next((at for at, one in enumerate(same) if not one), min(len(found.seeds), len(order)))
        self.there = 0 if found.one_example else in_order
        self.sizes = [size for size in rule.looks if size <= self.there]

    def result(self) -> dict[str, Any]:
        """The fields of the record that the rule fills."""
        if not self.sizes:
            forecast = self._forecast(self._evidence([self.there])) if self.there > 1 else None
            return {"verdict": "undecided", "reason": self._without_a_look(), "forecast": forecast}
        evidence, levels = self._evidence(self.sizes), self._levels(range(len(self.sizes)))
        decision = rules.decide(evidence, self.edge, self.matters, levels)
        at, outcome = int(decision.look), OUTCOMES[int(decision.outcome)]
        undecided = outcome == "undecided"
        size, of_seeds, variance = self.sizes[at], evidence.found.of_seeds[at], evidence.found.variance[at]
        below, above = (part[at] for part in rules.reach(evidence, levels))
        mean = evidence.found.mean[at]
        alone = self.found.estimate(size)
        shown = dict(enumerate(self.sizes))  # an index beyond them: not shown
        return {
            "difference": alone.value,
            "interval": tuple(sorted((self._unit(mean - below), self._unit(mean + above)))) if of_seeds else None,
            "confidence": 1 - 2 * float(levels[at]),
            "interval_alone": alone.interval(),
            "seeds": size,
            "looks": self._looks(evidence, decision, levels),
            "above": shown.get(int(decision.above)),
            "below": shown.get(int(decision.below)),
            "harms": bool("against" in self.sides and mean + above < 0),
            "seed_share": float(of_seeds / variance) if of_seeds else None,
            "sd_over_floor": self._sd_over_floor(size),
            "forecast": self._forecast(self._evidence([size])) if undecided else None,
            "verdict": outcome,
            "reason": self._why_not(evidence, levels) if undecided else "",
        }

    def _evidence(self, sizes: Sequence[int]) -> Evidence:
        tables = [self.sign * self.found.table[:size] for size in sizes]
        found = statistics.Moments(*map(np.array, zip(*map(statistics.moments, tables), strict=True)))
        if self.found.answer is None:
            return Evidence(np.array(sizes), found)
        each = [statistics.answers(table, self.found.answer) for table in tables]
        sums, squares = (np.stack(parts, -1) for parts in ([one.sums for one in each], [one.squares for one in each]))
        return Evidence(np.array(sizes), found, each[0]._replace(sums=sums, squares=squares))

    def _levels(self, looks: Sequence[int]) -> Any:
        return np.array([self.rule.level(look) for look in looks])

    def _unit(self, value: float) -> float:
        """From the claim's direction and scale to the metric's."""
        value = self.sign * float(value) + 0.0
        return statistics.exponential(value) if self.found.ratio else value

    def _looks(self, evidence: Evidence, decision: Decision, levels: Any) -> list[dict[str, Any]]:
        free, variance = rules.degrees(evidence.seeds, evidence.found), evidence.found.variance
        found = []
        for at, size in enumerate(self.sizes):
            told = {"seeds": size, "difference": self._unit(evidence.found.mean[at]), "level": float(levels[at])}
            if evidence.found.of_seeds[at]:
                told |= {"error": math.sqrt(variance[at]), "degrees": float(free[at])}
                told |= {"above": float(decision.p_above[at]), "below": float(decision.p_below[at])}
            found.append(told)
        return found

    def _sd_over_floor(self, size: int) -> float | None:
        if self.found.answer is None:
            return None
        record, variant = self.sides["arm"].record, self.sides["arm"].variant
        own = dict(zip(record.seeds, record.variants[variant].accuracy, strict=True))
        accuracies = [own[seed] for seed in self.found.seeds[:size]]
        errors = 1 - fmean(accuracies)
        return stdev(accuracies) / math.sqrt(errors / (2 * record.test_examples)) if errors > 0 else None

    def _forecast(self, now: Evidence) -> dict[str, Any] | None:
        if not now.found.of_seeds[0]:
            return None
        later = [look for look, size in enumerate(self.rule.looks) if size > now.seeds[0]]
        sizes, edges = np.array([self.rule.looks[look] for look in later]), np.array([[self.edge], [self.matters]])
        chances = rules.chance(now, sizes, self._levels(later), *edges) if later else np.zeros(1)
        enough = next((at for at, one in enumerate(chances) if one >= 0.5), None)
        last, examples = self.rule.level(len(self.rule.looks) - 1), self.found.table.shape[1]
        needed = rules.examples_needed(now, examples, last, self.edge, self.matters) if self.found.examples else None
        return {
            "seeds": None if enough is None else int(sizes[enough]),
            "probability": float(chances[-1 if enough is None else enough]),
            "test_examples": needed,
        }

    def _without_a_look(self) -> str:
        if self.found.one_example:
            return statistics.ONE_EXAMPLE
        first = self.order[: self.rule.looks[0]]
        have = sum(seed in self.found.seeds for seed in first)
        which = "" if have == len(self.found.seeds) else f" of those from {first[0]} to {first[-1]}"
        return f"needs {len(first)} seeds{which}, has {have}"

    def _why_not(self, evidence: Evidence, levels: Any) -> str:
        table = self.found.table[: self.sizes[-1]]
        if not evidence.found.of_seeds[-1]:
            return statistics.no_variance(table)
        by_seeds = rules.decide(evidence._replace(answers=None), self.edge, self.matters, levels)
        if not by_seeds.outcome:
            return ""
        differ = int(table.any(0).sum())
        return f"{differ} of {table.shape[1]} test examples are answered differently: seeds decide it, these do not"
