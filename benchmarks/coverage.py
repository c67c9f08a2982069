"""How often the rule errs, and what it finds, where the truth is known: `python -m benchmarks.coverage`.

A file has 31 claims, whose arms share the rival and the test set, and is decided by the functions that decide
params.yaml, at the levels of the section `rule` as it is by default. A verdict is wrong if it says something that is
not true: reproduced or negligible where the truth is at the edge a, refuted or negligible where it is at δ, the
smallest difference that matters. Writes benchmarks/coverage.json, which docs/evaluation.md shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from assay.analysis import rule as rules
from assay.analysis.rule import OUTCOMES, Evidence
from assay.analysis.statistics import Answers, Moments, answers, moments
from assay.core import files
from assay.core.config.claim import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assay.analysis.rule import Decision
    from assay.scoring.predictions import Array

RESULTS = Path("benchmarks/coverage.json")
FILES, CLAIMS, BATCH = 10000, 31, 500
RULE = Rule()
LOOKS = np.array(RULE.looks)
LEVELS = np.array([RULE.level(look) for look in range(len(LOOKS))])
MATTERS = RULE.matters
FAILURE = 10.0  # how far an arm that fails falls, in SDs of the others
SPREADS = (0.0008, 0.0015, 0.0025, 0.004)  # SDs of the paired difference over seeds
TEST_ERROR = 0.0002  # what test examples leave of the error, in the tables of power and of forecasts
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
REPRODUCED, REFUTED, NEGLIGIBLE = (OUTCOMES.index(one) for one in ("reproduced", "refuted", "negligible"))


@dataclass(frozen=True)
class Scenario:
    """How seeds are distributed: of each arm's, or where `alone` of one arm's, its rival being normal.

    `of_examples` is the share of test examples in the variance at ten seeds, `failing` the chance that a seed fails.
    """

    name: str
    seeds: str = "normal"
    of_examples: float = 0.0
    failing: float = 0.0
    alone: bool = False


SCENARIOS = (
    Scenario("normal seeds"),
    Scenario("normal seeds, half of the variance from test examples", of_examples=0.5),
    Scenario("heavy tails (t with 3 degrees)", "heavy"),
    Scenario("skewed (exponential) in both arms alike", "skewed"),
    Scenario("both arms fail alike, one seed in ten", failing=0.1),
    Scenario("skewed (exponential) in one arm alone", "skewed", alone=True),
    Scenario("one arm alone fails, one seed in fifty", failing=0.02, alone=True),
    Scenario("one arm alone fails, one seed in twenty", failing=0.05, alone=True),
    Scenario("one arm alone fails, one seed in ten", failing=0.1, alone=True),
)


def noise(rng: np.random.Generator, scenario: Scenario, shape: tuple[int, ...]) -> Array:
    """Deviations of seeds from their arm's mean, failures included; they have the SD 1 but for the failures."""
    if scenario.seeds == "heavy":
        return rng.standard_t(3, size=shape) / np.sqrt(3)  # type: ignore[no-any-return]
    if scenario.seeds == "skewed":
        return 1 - rng.exponential(size=shape)
    normal = rng.normal(size=shape)
    share = scenario.failing
    return normal - FAILURE * ((rng.random(shape) < share) - share) if share else normal


def evidence(
    rng: np.random.Generator, scenario: Scenario, truth: Array, spread: Array | float, count: int, test_error: float = 0
) -> Evidence:
    """What `count` files show at each look, `(file, claim, look)`, of claims whose truth is known.

    The SD of the paired difference, `spread`, is one or one for each claim; `test_error` is the part of test examples
    in the standard error, if the scenario does not name its share.
    """
    shape = (count, len(truth), LOOKS[-1])
    rival = noise(rng, SCENARIOS[0] if scenario.alone else scenario, (count, 1, LOOKS[-1]))
    spread = np.broadcast_to(np.asarray(spread, np.float64), truth.shape)[:, None]
    table = spread / np.sqrt(2) * (noise(rng, scenario, shape) - rival)
    share = scenario.of_examples
    of_examples = (spread**2 / LOOKS[0] * share / (1 - share) if share else np.full_like(spread, test_error**2)).T
    luck = rng.normal(size=(count, 1)) + rng.normal(size=(count, len(truth)))
    table += (truth + np.sqrt(of_examples / 2) * luck)[..., None]
    parts = [moments(table[..., :size, None]) for size in LOOKS]
    found = Moments(*(np.stack(part, -1) for part in zip(*parts, strict=True)))
    return Evidence(LOOKS, found._replace(of_examples=found.of_examples + of_examples[..., None]))


def wrong(found: Decision, at_edge: Array) -> float:
    """The share of files with a wrong verdict; `at_edge` says of each claim whether its truth is a, or else δ."""
    untrue = np.where(at_edge, found.outcome == REPRODUCED, found.outcome == REFUTED) | (found.outcome == NEGLIGIBLE)
    return float(untrue.any(-1).mean())


def errors(scenario: Scenario, count: int = FILES) -> dict[str, float]:
    """The share of files with a wrong verdict: all truths at a, all at δ, and of either kind."""
    edge = np.where(np.arange(CLAIMS) % 3 == 2, -MATTERS, 0.0)  # two `better`, then one `not_worse`
    matters = np.where(edge < 0, edge, MATTERS)
    found: dict[str, float] = {}
    for name, at_edge in {"a": np.ones(CLAIMS), "δ": np.zeros(CLAIMS), "either": np.arange(CLAIMS) % 2}.items():
        rng, shares = np.random.default_rng(20), []
        for _ in range(max(1, count // BATCH)):
            truth = np.where(at_edge, edge, matters)
            seen = evidence(rng, scenario, truth, SPREADS[1], min(count, BATCH))
            shares.append(wrong(rules.decide(seen, edge, matters, LEVELS), at_edge > 0))
        found[name] = float(np.mean(shares))
    return found


def networks(rng: np.random.Generator, truth: Array, examples: int) -> Array:
    """Differences of answers, `(claim, seed, example)`: all networks err mostly on the same examples."""
    unlike, of_seeds = np.float32(0.4), np.float32(0.02)
    scale = np.sqrt(1 + unlike**2 + of_seeds**2)
    difficulty = rng.standard_normal(examples, dtype=np.float32)

    def right(accuracy: Array) -> Array:
        skill = (ndtri(accuracy) * scale).astype(np.float32)[:, None, None]
        own = of_seeds * rng.standard_normal((len(accuracy), LOOKS[-1], 1), dtype=np.float32)
        each = unlike * rng.standard_normal((len(accuracy), LOOKS[-1], examples), dtype=np.float32)
        return skill + own > difficulty + each  # type: ignore[no-any-return]

    return right(0.98 + truth).astype(np.float32) - right(np.array([0.98]))


def rare(rng: np.random.Generator, truth: Array, examples: int) -> Array:
    """Differences of answers where all seeds agree on the few examples that differ, and a little noise beside them."""
    shape = (len(truth), LOOKS[-1], examples)
    same = rng.random((len(truth), 1, examples))
    chance = 0.002 + truth[:, None, None]  # of a gain; that of a loss is 0.002
    differs = (same < chance).astype(np.float32) - (same > 1 - 0.002)
    chatter = rng.random(shape, dtype=np.float32)
    return np.clip(differs + (chatter < 0.001) - (chatter > 1 - 0.001), -1, 1).astype(np.float32)


def decided(make: Callable[..., Array], truth: Array, examples: int, count: int) -> tuple[Decision, Decision]:
    """What is decided of `count` files of answers to a test set; then without the bound on answers that differ."""
    rng = np.random.default_rng(21)
    parts, few = [], []
    for _ in range(count):
        table = make(rng, truth, examples)
        looks = [table[:, :size] for size in LOOKS]
        parts.append(np.stack([np.stack(moments(one)) for one in looks], -1))
        few.append(np.stack([np.stack(answers(one)[:2]) for one in looks], -1))  # sums and squares
    found, (sums, squares) = (np.stack(one, -3).astype(np.float64) for one in (parts, few))  # (..., file, claim, look)
    seen = Evidence(LOOKS, Moments(*found), Answers(sums, squares, examples))
    bound, without = (rules.decide(one, 0.0, MATTERS, LEVELS) for one in (seen, seen._replace(answers=None)))
    return bound, without


def answer_errors(make: Callable[..., Array], examples: int, count: int) -> tuple[float, float]:
    """The share of files with a wrong verdict; then without the bound on answers that differ."""
    at_edge = np.arange(CLAIMS) % 2 > 0
    bound, without = decided(make, np.where(at_edge, 0.0, MATTERS), examples, count)
    return wrong(bound, at_edge), wrong(without, at_edge)


def power(spread: float, truth: float, count: int = FILES) -> list[float]:
    """The share of claims that are decided by 10, 20 and 40 seeds, of a truth above δ as reproduced."""
    rng = np.random.default_rng(22)
    seen = evidence(rng, SCENARIOS[0], np.array([truth]), spread, count, TEST_ERROR)
    shares = []
    for looks in range(1, len(LOOKS) + 1):
        first = Evidence(LOOKS[:looks], Moments(*(part[..., :looks] for part in seen.found)))
        outcome = rules.decide(first, 0.0, MATTERS, LEVELS[:looks]).outcome
        shares.append(float(((outcome == REPRODUCED) if truth > MATTERS else (outcome > 0)).mean()))
    return shares


def forecasts(count: int = FILES) -> list[dict[str, Any]]:
    """Claims undecided at the first look: how often a later look decided them, by the chance forecast for it."""
    rng = np.random.default_rng(23)
    spread = np.resize(SPREADS, CLAIMS)
    truth = rng.uniform(-0.5, 1.5, CLAIMS) * MATTERS
    seen = evidence(rng, SCENARIOS[0], truth, spread, count, TEST_ERROR)
    verdicts = rules.decide(seen, 0.0, MATTERS, LEVELS)
    first = np.where(verdicts.outcome > 0, np.minimum(verdicts.above, verdicts.below), len(LOOKS))
    now = Evidence(LOOKS[:1], Moments(*(part[..., :1] for part in seen.found)))
    told = rules.chance(now, LOOKS[1:], LEVELS[1:], np.zeros(1), np.full(1, MATTERS))[first > 0]
    came = (first[..., None] <= np.arange(1, len(LOOKS)))[first > 0]
    rows = []
    for low, high in pairwise(BINS):
        own = (told >= low) & (told <= high if high == BINS[-1] else told < high)
        rows.append({"from": low, "to": high, "told": float(told[own].mean()), "came": float(came[own].mean())})
    return rows


def markdown(found: dict[str, Any]) -> str:
    """The results as docs/evaluation.md shows them."""

    def row(name: str, values: Iterable[float], digits: int = 1, times: int = 100) -> str:
        return f"| {name} | {' | '.join(f'{times * value:.{digits}f}' for value in values)} |"

    told = found["forecasts"]
    lines = ["| any wrong verdict, % of files | truths at a | truths at δ | of either kind |", "|---|---:|---:|---:|"]
    lines += [row(one["scenario"], one["wrong"].values()) for one in found["errors"]]
    lines += ["", "| the bound on answers that differ | with it | without it |", "|---|---:|---:|"]
    lines += [row(one["scenario"], (one["with"], one["without"])) for one in found["answers"]]
    heads = " | ".join(f"{size} seeds" for size in LOOKS)
    lines += ["", f"| decided, % of claims | {heads} |", f"|---|{'---:|' * len(LOOKS)}"]
    lines += [row(one["scenario"], one["decided"], digits=0) for one in found["power"]]
    lines += ["", row("chance forecast", (one["told"] for one in told), 2, 1), f"|---|{'---:|' * len(told)}"]
    return "\n".join([*lines, row("came out", (one["came"] for one in told), 2, 1)])


def main() -> None:
    """Simulate, write, print."""
    bounds: dict[str, tuple[float, float]] = {}
    for name, make in {"networks of 98 %": networks, "all seeds agree on what differs": rare}.items():
        for examples in (225, 1000):
            key = f"{name}, {examples:,} test examples: any wrong verdict, % of files"
            bounds[key] = answer_errors(make, examples, FILES // 5)
    for times in (0.0, 0.5, 1.5):
        key = f"networks of 98 %, 10,000 test examples, truth {times:g} δ: decided, % of claims"
        bound, without = decided(networks, np.full(CLAIMS, times * MATTERS), 10_000, 32)
        bounds[key] = float((bound.outcome > 0).mean()), float((without.outcome > 0).mean())
    powers = {
        f"truth {truth:g} δ ({what}), SD {100 * spread:.2f} points": power(spread, truth * MATTERS)
        for truth, what in ((1.5, "reproduced"), (0.0, "decided"))
        for spread in SPREADS
    }
    found: dict[str, Any] = {
        "errors": [{"scenario": one.name, "wrong": errors(one)} for one in SCENARIOS],
        "answers": [{"scenario": key, "with": bound, "without": without} for key, (bound, without) in bounds.items()],
        "power": [{"scenario": name, "decided": shares} for name, shares in powers.items()],
        "forecasts": forecasts(),
    }
    files.write_json(RESULTS, found)
    print(markdown(found))


if __name__ == "__main__":
    main()
