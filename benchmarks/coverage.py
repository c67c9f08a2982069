"""How often a 95 % interval holds the truth, where the truth is known: `python -m benchmarks.coverage`.

A difference is mu + seed + example + interaction, all independent; a scenario says how the variance of the mean splits
over the three, and how seeds are distributed. Beside the interval that `compare` uses stands the percentile bootstrap
of seeds and examples (the pigeonhole bootstrap; Owen 2007, Annals of Applied Statistics 1(2)). Two more scenarios make
predictions of real networks' kind, for accuracy and for calibration error, whose truth is the mean over 4,000 pairs of
networks. Writes benchmarks/coverage.json, which docs/evaluation.md shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.evaluation.scoring.metrics import per_example
from assay.evaluation.scoring.predictions import Predictions
from assay.evaluation.statistics import Estimate, mean_of, paired_difference
from assay.foundation import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from assay.evaluation.scoring.metrics import Metric
    from assay.evaluation.scoring.predictions import Array

RESULTS = Path("benchmarks/coverage.json")
TRUTH, EXAMPLES, TRIALS, SEEDS = 0.3, 100, 2000, (2, 3, 5, 10)
BOOTSTRAP_TRIALS, RESAMPLES, BOOTSTRAP_SEEDS = 1000, 400, 5


@dataclass(frozen=True)
class Scenario:
    """Shares of the mean's variance, and how seeds are distributed (mean 0, variance 1)."""

    name: str
    of_seeds: float
    of_examples: float
    of_interaction: float
    seeds: str = "normal"


SCENARIOS = (
    Scenario("seeds alone", 1, 0, 0),
    Scenario("examples alone", 0, 1, 0),
    Scenario("seed × example alone", 0, 0, 1),
    Scenario("seeds and examples, half each", 0.5, 0.5, 0),
    Scenario("all three, a third each", 1 / 3, 1 / 3, 1 / 3),
    Scenario("seeds alone, skewed (exponential)", 1, 0, 0, "exponential"),
    Scenario("seeds alone, heavy tails (t with 3 degrees)", 1, 0, 0, "heavy"),
)


def table(rng: np.random.Generator, scenario: Scenario, seeds: int) -> Array:
    """One experiment: the differences, `(seeds, EXAMPLES)`."""
    draw = {
        "normal": lambda size: rng.normal(size=size),
        "exponential": lambda size: rng.exponential(size=size) - 1,
        "heavy": lambda size: rng.standard_t(3, size=size) / np.sqrt(3),
    }[scenario.seeds]
    parts = (
        np.sqrt(scenario.of_seeds * seeds) * draw((seeds, 1)),
        np.sqrt(scenario.of_examples * EXAMPLES) * rng.normal(size=(1, EXAMPLES)),
        np.sqrt(scenario.of_interaction * seeds * EXAMPLES) * rng.normal(size=(seeds, EXAMPLES)),
    )
    return TRUTH + sum(parts)  # type: ignore[no-any-return]


def coverage(scenario: Scenario, seeds: int, trials: int = TRIALS) -> float:
    """The share of experiments whose interval holds the truth."""
    rng = np.random.default_rng(20)
    names = tuple(range(seeds))
    return _held(lambda: mean_of(table(rng, scenario, seeds), names), TRUTH, trials)


def bootstrap_coverage(scenario: Scenario, seeds: int, trials: int = BOOTSTRAP_TRIALS) -> float:
    """The same of the percentile bootstrap."""
    rng = np.random.default_rng(21)
    held = 0
    for _ in range(trials):
        drawn = table(rng, scenario, seeds)
        counts = rng.multinomial(EXAMPLES, np.full(EXAMPLES, 1 / EXAMPLES), RESAMPLES)
        by_seed = counts @ drawn.T / EXAMPLES
        chosen = rng.integers(0, seeds, (RESAMPLES, seeds))
        low, high = np.quantile(np.take_along_axis(by_seed, chosen, 1).mean(1), (0.025, 0.975))
        held += bool(low <= TRUTH <= high)
    return held / trials


def networks(rng: np.random.Generator, skill: float, difficulty: Array, seeds: int) -> Predictions:
    """Made-up networks: each of a skill of its own, erring mostly where the others do, and a little too sure."""
    own = skill + 0.05 * rng.normal(size=(seeds, 1))
    margin = own - difficulty - 0.4 * rng.normal(size=(seeds, len(difficulty)))
    correct = margin > 0
    confidence = np.clip(1 / (1 + np.exp(-2.2 * np.abs(margin))), 0.2, 1)
    return Predictions(correct.astype(np.uint8), confidence.astype(np.float32), confidence, confidence)


def metric_coverage(metric: Metric, seeds: int, trials: int = 400, examples: int = 1000) -> float:
    """The share of experiments, with test sets of their own, whose interval holds the expected difference."""
    rng = np.random.default_rng(22)
    names = tuple(range(seeds))

    def pair(count: int) -> tuple[Predictions, Predictions]:
        difficulty = rng.normal(size=examples)
        return networks(rng, 1.65, difficulty, count), networks(rng, 1.6, difficulty, count)

    gaps = [per_example(metric, a).mean() - per_example(metric, b).mean() for a, b in (pair(20) for _ in range(200))]
    return _held(lambda: paired_difference(metric, *pair(seeds), names, names), float(np.mean(gaps)), trials)


def _held(experiment: Callable[[], Estimate], truth: float, trials: int) -> float:
    held = 0
    for _ in range(trials):
        interval = experiment().interval()
        assert interval is not None
        held += interval[0] <= truth <= interval[1]
    return held / trials


def markdown(rows: list[dict[str, Any]]) -> str:
    """The results as docs/evaluation.md shows them."""
    heads = [*(f"{seeds} seeds" for seeds in SEEDS), f"{BOOTSTRAP_SEEDS} seeds, percentile bootstrap"]
    lines = [f"| variance of the mean comes from | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for row in rows:
        cells = [f"{100 * value:.0f} %" for value in row["interval"].values()]
        bootstrap = "" if row["bootstrap"] is None else f"{100 * row['bootstrap']:.0f} %"
        lines.append(f"| {row['scenario']} | {' | '.join([*cells, bootstrap])} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, write, print."""
    rows: list[dict[str, Any]] = [
        {
            "scenario": one.name,
            "interval": {str(seeds): coverage(one, seeds) for seeds in SEEDS},
            "bootstrap": bootstrap_coverage(one, BOOTSTRAP_SEEDS),
        }
        for one in SCENARIOS
    ]
    metrics: tuple[tuple[Metric, str], ...] = (
        ("accuracy", "networks, accuracy"),
        ("ece", "networks, calibration error"),
    )
    for metric, name in metrics:
        found = {str(seeds): metric_coverage(metric, seeds) for seeds in SEEDS}
        rows.append({"scenario": name, "interval": found, "bootstrap": None})
    files.write_json(RESULTS, rows)
    print(markdown(rows))


if __name__ == "__main__":
    main()
