"""Chains of different length, compared where they lose the same: at equal s the comparison would mislead.

It reads the series that a sampler leaves in its record, as `metrics/evaluate/*.json` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Point = dict[str, float]
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
        ValueError: there are no records, or one is not `comparable`.
    """
    points = {arm: _points(record["series"]) for arm, record in records.items()}
    level = max(min(point["loss"] for point in chain) for chains in points.values() for chain in chains)
    return level, {arm: _reached(chains, level) for arm, chains in points.items()}


def comparable(record: Mapping[str, Any]) -> bool:
    """Whether each chain has a point of the series at which every number of it is known."""
    chains = _points(record["series"])
    return bool(chains) and all(chains)


def _points(series: Mapping[str, Any]) -> list[list[Point]]:
    """For each chain the points of the series at which all numbers are known, in their order."""

    def value(key: str, index: int, chain: int) -> Any:
        entry = series[key][index] if key in series else None
        return entry[chain] if isinstance(entry, list) else entry

    chains: list[list[Point]] = [[] for _ in (series["loss"] or [[]])[0]]
    for index in range(len(series["loss"])):
        for chain, points in enumerate(chains):
            found = {key: value(key, index, chain) for key in ("loss", *INTERPOLATED)}
            known = {key: float(one) for key, one in found.items() if one is not None}
            if len(known) == len(found) and known["sigma"] > 0:
                points.append(known)
    return chains


def _reached(chains: Sequence[Sequence[Point]], level: float) -> Reached:
    points = [_crossing(chain, level) for chain in chains]
    means = {key: fmean(point[key] for point in points) for key in INTERPOLATED}
    return Reached(**means, batch_a_test_by_variance=fmean(p["batch_a_test"] / p["sigma"] ** 2 for p in points))


def _crossing(points: Sequence[Point], level: float) -> Point:
    """The numbers of a chain, interpolated to where its loss first comes down to the level."""
    place = next(index for index, point in enumerate(points) if point["loss"] <= level)
    before, after = points[max(0, place - 1)], points[place]
    share = (before["loss"] - level) / (before["loss"] - after["loss"]) if place else 0.0
    return {key: before[key] + share * (after[key] - before[key]) for key in INTERPOLATED}
