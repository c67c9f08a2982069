"""Chains of different length, compared where they lose the same: at equal s the comparison would mislead.

It reads the series that a sampler leaves in its record, as `metrics/evaluate/*.json` has them.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float64

    from assay.scoring.predictions import Array


class Reached(NamedTuple):
    """An arm where its mean training loss first comes down to a level; means over seeds.

    `moves` proposals were made until then; n̄, σ, s of each model and the acceptance are those at that point. n̄ / σ²
    does not depend on the choice of σ, as long as a loss changes in proportion to the step (n ∝ s²σ²).
    """

    moves: float
    forward_samples: float
    batch_a_test: float
    sigma: float
    s: float
    acceptance: float
    batch_a_test_by_variance: float


INTERPOLATED = Reached._fields[:-1]
KEYS = ("loss", *INTERPOLATED)
LOSS, BATCH, SIGMA = map(KEYS.index, ("loss", "batch_a_test", "sigma"))


def at_equal_loss(records: Mapping[str, Mapping[str, Any]]) -> tuple[float, dict[str, Reached]]:
    """The lowest mean training loss that every seed of every arm reaches, in nats, and each arm where it does.

    Raises:
        ValueError: there are no records, or one is not `comparable`.
    """
    chains = {arm: _points(record["series"]) for arm, record in records.items()}
    level = max(float(points[:, LOSS].min()) for own in chains.values() for points in own)
    found = {}
    for arm, own in chains.items():
        crossings = []
        for points in own:  # interpolated to where the loss first comes down to the level
            place = int((points[:, LOSS] <= level).argmax())
            before, after = points[max(0, place - 1)], points[place]
            share = (before[LOSS] - level) / (before[LOSS] - after[LOSS]) if place else 0.0
            crossings.append(before + share * (after - before))
        at = np.stack(crossings)
        columns = [*at[:, 1:].T, at[:, BATCH] / at[:, SIGMA] ** 2]
        found[arm] = Reached(*(fmean(column.tolist()) for column in columns))
    return level, found


def comparable(record: Mapping[str, Any]) -> bool:
    """Whether each chain has a point of the series at which every number of it is known."""
    chains = _points(record["series"])
    return bool(chains) and all(map(len, chains))


def _points(series: Mapping[str, Any]) -> list[Float64[Array, "point key"]]:
    """For each chain the points of the series at which all numbers are known, in their order."""
    count, chains = len(series["loss"]), len((series["loss"] or [[]])[0])
    columns = [
        [entry if isinstance(entry, list) else [entry] * chains for entry in series.get(key, [None] * count)]
        for key in KEYS
    ]
    table = np.array(columns, dtype=np.float64).reshape(len(KEYS), count, chains)  # None is NaN
    known = np.isfinite(table).all(0) & (table[SIGMA] > 0)
    return [table[:, known[:, chain], chain].T for chain in range(chains)]
