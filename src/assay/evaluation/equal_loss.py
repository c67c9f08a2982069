"""Chains of different length, compared where they lose the same: at equal s the comparison would mislead.

It reads the series that a sampler leaves in its record, as `metrics/evaluate/*.json` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERPOLATED = ("moves", "forward_samples", "batch_a_test", "sigma", "s", "acceptance")


@dataclass(frozen=True)
class Reached:
    """An arm where its mean training loss first comes down to a level; means over seeds.

    Attributes:
        moves: proposals until then.
        forward_samples: what they cost.
        batch_a_test: n̄ at that point.
        sigma: σ at that point.
        s: of each model, at that point.
        acceptance: at that point.
        batch_a_test_by_variance: n̄ / σ², which does not depend on the choice of σ, as long as a loss changes in
            proportion to the step (n ∝ s²σ²).
    """

    moves: float
    forward_samples: float
    batch_a_test: float
    sigma: float
    s: float
    acceptance: float
    batch_a_test_by_variance: float


def at_equal_loss(records: Mapping[str, Mapping[str, Any]]) -> tuple[float, dict[str, Reached]]:
    """The lowest mean training loss that every seed of every arm reaches, in nats, and each arm where it does.

    Args:
        records: by arm.

    Raises:
        ValueError: there are no records.
    """
    losses = {arm: list(zip(*record["series"]["loss"], strict=True)) for arm, record in records.items()}
    level = max(min(seed) for seeds in losses.values() for seed in seeds)
    return level, {arm: _reached(records[arm]["series"], losses[arm], level) for arm in records}


def _reached(series: Mapping[str, Any], losses: Sequence[Sequence[float]], level: float) -> Reached:
    points = [_crossing(series, seed, loss, level) for seed, loss in enumerate(losses)]
    means = {key: fmean(point[key] for point in points) for key in INTERPOLATED}
    return Reached(**means, batch_a_test_by_variance=fmean(p["batch_a_test"] / p["sigma"] ** 2 for p in points))


def _crossing(series: Mapping[str, Any], seed: int, loss: Sequence[float], level: float) -> dict[str, float]:
    """The series of a seed, interpolated to where its loss first comes down to the level."""
    place = next(index for index, value in enumerate(loss) if value <= level)
    share = 0.0
    if place:
        share = (loss[place - 1] - level) / (loss[place - 1] - loss[place])
    before = max(0, place - 1)

    def value(key: str, index: int) -> float:
        entry = series[key][index]
        return float(entry[seed] if isinstance(entry, list) else entry)

    return {key: value(key, before) + share * (value(key, place) - value(key, before)) for key in INTERPOLATED}
