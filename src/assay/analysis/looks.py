"""One claim under the rule: the looks that its seeds allow, its verdict, and what it would take to decide it.

`assay.analysis.claims` describes the fields; `assay.analysis.rule` is the rule itself.
"""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis import rule as rules
from assay.analysis import statistics
from assay.analysis.rule import OUTCOMES, Evidence
from assay.analysis.statistics import exponential
from assay.scoring.metrics import rises

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.measures import Sample, Side
    from assay.analysis.rule import Decision
    from assay.core.config.claim import Claim, Rule


class Test:
    """One claim under the rule: `sign` turns the metric's direction into the claim's."""

    def __init__(
        self,
        claim: Claim,
        sides: Mapping[str, Side],
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
        self.there = next((at for at, one in enumerate(same) if not one), min(len(found.seeds), len(order)))
        if found.examples and found.table.shape[1] == 1:
            self.there = 0
        self.sizes = [size for size in rule.looks if size <= self.there]

    def result(self) -> dict[str, Any]:
        """The fields of the record that the rule fills."""
        if not self.sizes:
            forecast = self._forecast(self._evidence([self.there])) if self.there > 1 else None
            return {"verdict": "undecided", "reason": self._without_a_look(), "forecast": forecast}
        evidence, levels = self._evidence(self.sizes), self._levels(range(len(self.sizes)))
        decision = rules.decide(evidence, self.edge, self.matters, levels)
        at, outcome = int(decision.look), OUTCOMES[int(decision.outcome)]
        size, of_seeds, variance = self.sizes[at], evidence.found.of_seeds[at], evidence.found.variance[at]
        below, above = (part[at] for part in rules.reach(evidence, levels))
        mean = evidence.found.mean[at]
        alone = self.found.estimate(size)
        return {
            "difference": alone.value,
            "interval": tuple(sorted((self._unit(mean - below), self._unit(mean + above)))) if of_seeds else None,
            "confidence": 1 - 2 * float(levels[at]),
            "interval_alone": alone.interval(),
            "seeds": size,
            "looks": self._looks(evidence, decision, levels),
            "above": self._size(int(decision.above)),
            "below": self._size(int(decision.below)),
            "harms": bool("against" in self.sides and mean + above < 0),
            "seed_share": float(of_seeds / variance) if of_seeds else None,
            "sd_over_floor": self._sd_over_floor(size),
            "forecast": self._forecast(self._evidence([size])) if outcome == "undecided" else None,
            "verdict": outcome,
            "reason": self._why_not(evidence, levels) if outcome == "undecided" else "",
        }

    def _evidence(self, sizes: Sequence[int]) -> Evidence:
        tables = [self.sign * self.found.table[:size] for size in sizes]
        found = statistics.Moments(*map(np.array, zip(*map(statistics.moments, tables), strict=True)))
        if self.found.answer is None:
            return Evidence(np.array(sizes), found)
        each = [statistics.answers(table, self.found.answer) for table in tables]
        sums, squares = (np.stack(parts, -1) for parts in ([one.sums for one in each], [one.squares for one in each]))
        answers = each[0]._replace(sums=sums, squares=squares)
        return Evidence(np.array(sizes), found, answers)

    def _levels(self, looks: Sequence[int]) -> Any:
        return np.array([self.rule.level(look) for look in looks])

    def _unit(self, value: float) -> float:
        """From the claim's direction and scale to the metric's."""
        value = self.sign * float(value) + 0.0
        return exponential(value) if self.found.ratio else value

    def _size(self, look: int) -> int | None:
        return self.sizes[look] if look < len(self.sizes) else None

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
        own = record.variants[variant].accuracy
        accuracies = [own[record.seeds.index(seed)] for seed in self.found.seeds[:size]]
        errors = 1 - fmean(accuracies)
        return stdev(accuracies) / math.sqrt(errors / (2 * record.test_examples)) if errors > 0 else None

    def _forecast(self, now: Evidence) -> dict[str, Any] | None:
        if not now.found.of_seeds[0]:
            return None
        later = [look for look, size in enumerate(self.rule.looks) if size > now.seeds[0]]
        sizes, bounds = (
            np.array([self.rule.looks[look] for look in later]),
            (np.array([self.edge]), np.array([self.matters])),
        )
        chances = rules.chance(now, sizes, self._levels(later), *bounds) if later else np.zeros(1)
        enough = next((int(size) for size, one in zip(sizes, chances, strict=False) if one >= 0.5), None)
        last = self.rule.level(len(self.rule.looks) - 1)
        examples = self.found.table.shape[1]
        needed = rules.examples_needed(now, examples, last, self.edge, self.matters) if self.found.examples else None
        probability = chances[list(sizes).index(enough)] if enough else chances[-1]
        return {"seeds": enough, "probability": float(probability), "test_examples": needed}

    def _without_a_look(self) -> str:
        if self.found.examples and self.found.table.shape[1] == 1:
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
