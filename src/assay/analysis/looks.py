"""Claims under the rule: their paired numbers, the looks that the seeds allow, the verdict, what would decide them.

Metrics of the test set are means over examples too, so their differences rest on seeds and examples (`statistics`).
Everything else is a number a seed: a count, a step read off the curves, or what the method wrote into its record.
`assay.analysis.claims` describes the fields of the result; `assay.analysis.rule` is the rule itself.
"""

from __future__ import annotations

import math
from itertools import takewhile
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.analysis import rule as rules
from assay.analysis import statistics
from assay.analysis.claims import ClaimRecord, Control
from assay.analysis.rule import OUTCOMES, Evidence
from assay.analysis.samples import find, sample
from assay.core.config import PARAMS_FILE
from assay.core.config.blocks import canonical
from assay.core.errors import AssayError
from assay.scoring.metrics import check, control_of, is_exact, lookup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.samples import ClaimArm, Sample
    from assay.core.config.claim import Claim, Rule
    from assay.scoring.predictions import Array
    from assay.scoring.record import Evaluation


def judge(
    claims: Sequence[Claim], evaluations: Mapping[str, Evaluation], rule: Rule, seeds: Sequence[int]
) -> list[ClaimRecord]:
    """Decide the claims of params.yaml, in their order, by its rule.

    Its seeds begin the sequence of which a look at S takes the first S.

    Raises:
        AssayError: a claim names an unknown metric, or a variant that was not evaluated or lacks the metric.
    """
    check(claims, rule)
    order = canonical(seeds, max(len(seeds), rule.looks[-1]))
    decided = []
    for claim in claims:
        told = claim.model_dump(include={"id", "paper", "statement", "differs_from_paper"})
        if claim.preset is None:
            told |= _judge(claim, evaluations, rule, order)
        else:
            told |= {"preset": claim.preset, "verdict": "not tested here"}
        decided.append(ClaimRecord(**told))
    return decided


def _judge(claim: Claim, evaluations: Mapping[str, Evaluation], rule: Rule, order: tuple[int, ...]) -> dict[str, Any]:
    where = f"{PARAMS_FILE}: claims.{claim.id}"
    sides = {key: find(evaluations, name, f"{where}.{key}") for key, name in claim.arms.items()}
    found = sample(claim, sides["arm"], sides.get("against"), order)
    edge = matters = float(claim.at_most or claim.at_least or 1) if claim.verdict == "ratio" else -claim.margin + 0.0
    if claim.verdict == "better":
        own = rule.matters if claim.metric == "accuracy" else 0.0
        edge, matters = claim.margin, max(claim.margin, own if claim.matters is None else claim.matters)
    metric, exact, alone = str(claim.metric), is_exact(claim.metric), found.estimate()
    known = lookup(metric).higher_is_better if claim.more_is_better is None else claim.more_is_better
    up = claim.at_least is not None if found.ratio else bool(known)
    told = claim.model_dump(include={"margin", "at_most", "at_least"}) | {
        "metric": metric,
        "asks": claim.verdict or "",
        "more_is_better": up,
        **{key: f"{side.record.arm}/{side.variant}" for key, side in sides.items()},
        "edge": edge,
        "matters": matters,
        "difference": alone.value,
        "difference_all_seeds": alone.value,
        "interval_alone": None if exact else alone.interval(),
        "seeds": len(found.seeds),
        "all_seeds": len(found.seeds),
        "verdict": "by construction" if exact else "undecided",
        "reason": found.reason,
    }
    if not found.reason:
        by_seed = found.table.mean(1)
        told["by_seed"] = (np.exp(by_seed) if found.ratio else by_seed).tolist()
    if not found.reason and not exact:
        sign = 1.0 if up else -1.0  # turns the metric's direction into the claim's
        bounds = [sign * math.log(one) for one in (edge, matters)] if found.ratio else [edge, matters]
        told |= _by_the_rule(sides, found, rule, order, sign, bounds)
        if metric == "accuracy" and told.get("looks"):
            told["sd_over_floor"] = _sd_over_floor(sides["arm"], found.seeds[: told["seeds"]])
    if control := control_of(metric):
        told["control"] = _control(claim.model_copy(update={"metric": control}), sides, order, told["seeds"])
    return told


def _control(claim: Claim, sides: Mapping[str, ClaimArm], order: Sequence[int], seeds: int) -> Control:
    """The same comparison after temperature scaling, over the seeds that the verdict stands on."""
    try:
        found = sample(claim, sides["arm"], sides.get("against"), order).estimate(seeds)
    except AssayError as error:
        return Control(metric=str(claim.metric), reason=str(error).partition(": ")[2].partition(": ")[2])
    return Control(metric=str(claim.metric), difference=found.value, interval=found.interval(), reason=found.reason)


def _by_the_rule(
    sides: Mapping[str, ClaimArm], found: Sample, rule: Rule, order: Sequence[int], sign: float, bounds: Sequence[float]
) -> dict[str, Any]:
    edge, matters = bounds
    one_example = found.examples and found.table.shape[1] == 1
    in_order = takewhile(lambda pair: pair[0] == pair[1], zip(found.seeds, order, strict=False))
    there = 0 if one_example else len(list(in_order))
    sizes = [size for size in rule.looks if size <= there]
    if not sizes:
        first = order[: rule.looks[0]]
        have = sum(seed in found.seeds for seed in first)
        which = "" if have == len(found.seeds) else f" of those from {first[0]} to {first[-1]}"
        reason = statistics.ONE_EXAMPLE if one_example else f"needs {len(first)} seeds{which}, has {have}"
        forecast = _forecast(found, rule, _evidence(found, sign, [there]), edge, matters) if there > 1 else None
        return {"verdict": "undecided", "reason": reason, "forecast": forecast}

    def unit(value: float) -> float:  # from the claim's direction and scale to the metric's
        value = sign * float(value) + 0.0
        return statistics.exponential(value) if found.ratio else value

    evidence, levels = _evidence(found, sign, sizes), np.array([rule.level(look) for look in range(len(sizes))])
    mean, of_seeds, variance = evidence.found.mean, evidence.found.of_seeds, evidence.found.variance
    decision, degrees = rules.decide(evidence, edge, matters, levels), rules.degrees(evidence.seeds, evidence.found)
    looks = []
    for at, size in enumerate(sizes):
        look = {"seeds": size, "difference": unit(mean[at]), "level": float(levels[at])}
        if of_seeds[at]:
            look |= {"error": math.sqrt(variance[at]), "degrees": float(degrees[at])}
            look |= {"above": float(decision.p_above[at]), "below": float(decision.p_below[at])}
        looks.append(look)
    at, outcome = int(decision.look), OUTCOMES[int(decision.outcome)]
    below, above = (part[at] for part in rules.reach(evidence, levels))
    alone, undecided = found.estimate(sizes[at]), outcome == "undecided"
    shown = dict(enumerate(sizes))  # an index beyond them: not shown
    now = _evidence(found, sign, [sizes[at]])
    return {
        "difference": alone.value,
        "interval": tuple(sorted((unit(mean[at] - below), unit(mean[at] + above)))) if of_seeds[at] else None,
        "confidence": 1 - 2 * float(levels[at]),
        "interval_alone": alone.interval(),
        "seeds": sizes[at],
        "looks": looks,
        "above": shown.get(int(decision.above)),
        "below": shown.get(int(decision.below)),
        "harms": bool("against" in sides and mean[at] + above < 0),
        "seed_share": float(of_seeds[at] / variance[at]) if of_seeds[at] else None,
        "forecast": _forecast(found, rule, now, edge, matters) if undecided else None,
        "verdict": outcome,
        "reason": _why_not(found, evidence, edge, matters, levels) if undecided else "",
    }


def _evidence(found: Sample, sign: float, sizes: Sequence[int]) -> Evidence:
    tables = [sign * found.table[:size] for size in sizes]
    moments = statistics.Moments(*map(np.array, zip(*map(statistics.moments, tables), strict=True)))
    if found.answers is None:
        return Evidence(np.array(sizes), moments)
    each = [statistics.answers(sign * found.answers[:size], found.answer) for size in sizes]
    sums, squares = (np.stack(parts, -1) for parts in ([one.sums for one in each], [one.squares for one in each]))
    return Evidence(np.array(sizes), moments, each[0]._replace(sums=sums, squares=squares))


def _sd_over_floor(side: ClaimArm, seeds: Sequence[int]) -> float | None:
    own = dict(zip(side.record.seeds, side.record.variants[side.variant].accuracy, strict=True))
    accuracies = [own[seed] for seed in seeds]
    errors = 1 - fmean(accuracies)
    return stdev(accuracies) / math.sqrt(errors / (2 * side.record.test_examples)) if errors > 0 else None


def _forecast(found: Sample, rule: Rule, now: Evidence, edge: float, matters: float) -> dict[str, Any] | None:
    if not now.found.of_seeds[0]:
        return None
    later = [look for look, size in enumerate(rule.looks) if size > now.seeds[0]]
    sizes, levels = np.array([rule.looks[look] for look in later]), np.array([rule.level(look) for look in later])
    chances = rules.chance(now, sizes, levels, np.array([edge]), np.array([matters])) if later else np.zeros(1)
    enough = next((at for at, one in enumerate(chances) if one >= 0.5), None)
    last, examples = rule.level(len(rule.looks) - 1), found.table.shape[1]
    return {
        "seeds": None if enough is None else int(sizes[enough]),
        "probability": float(chances[-1 if enough is None else enough]),
        "test_examples": rules.examples_needed(now, examples, last, edge, matters) if found.examples else None,
    }


def _why_not(found: Sample, evidence: Evidence, edge: float, matters: float, levels: Array) -> str:
    last = int(evidence.seeds[-1])
    table = found.table[:last] if found.answers is None else found.answers[:last]
    if not evidence.found.of_seeds[-1]:
        return statistics.no_variance(found.table[:last])
    by_seeds = rules.decide(evidence._replace(answers=None), edge, matters, levels)
    differ = int(table.any(0).sum())
    few = f"{differ} of {table.shape[1]} test examples are answered differently: too few"
    return f"{few} for a verdict, however little seeds vary" if by_seeds.outcome else ""
