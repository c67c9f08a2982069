"""Magnitude pruning as plain functions: how many weights a round takes, and which (arXiv 1803.03635, section 2).

A *pool* is a set of layers whose weights are ranked together: one layer where pruning is layerwise, all layers of one
fraction where it is global. Masks are `(copy, *shape)` booleans, true where a weight is left.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor

    from assay.core.config.lottery import Scope
    from assay.engine.stack import Weights

    Masks = dict[str, Bool[Tensor, "copy ..."]]
    Pool = tuple[tuple[str, ...], float]


def left_after(count: int, fraction: float, rounds: int = 1) -> int:
    """How many of `count` weights are left when each round takes this share of them, rounded to a whole number.

    The share is the decimal number as it is written, so 0.1 of 1,000 is 100; a half is rounded to even.
    """
    for _ in range(rounds):
        count -= round(Fraction(str(fraction)) * count)
    return count


def pools(kinds: Mapping[str, str], fractions: Mapping[str, float], scope: Scope) -> list[Pool]:
    """Which layers are ranked together, and the share that a round takes of each such pool.

    Args:
        kinds: the prunable parameters and the kind of each (`assay.models.weight_names`).
        fractions: by kind; layers of a kind that is left out are not pruned.
        scope: `layerwise`, or `global` for one pool of all layers of a fraction.
    """
    pruned = {name: fractions[kind] for name, kind in kinds.items() if kind in fractions}
    if scope == "layerwise":
        return [((name,), fraction) for name, fraction in pruned.items()]
    return [(tuple(n for n, f in pruned.items() if f == one), one) for one in dict.fromkeys(pruned.values())]


def prune(weights: Weights, masks: Masks, pool: Sequence[str], keep: int) -> Masks:
    """Leave the `keep` weights of greatest magnitude in a pool, among those that are left.

    Exactly `keep` are left: of equal magnitudes, those that come later in the pool's order stay.

    Args:
        weights: `(copy, *shape)`.
        masks: what is left so far, of the pool's layers at least.
        pool: names of layers.
        keep: how many are to be left over all of them, for each copy.

    Returns:
        New masks of the pool's layers.
    """
    alive = torch.cat([masks[name].flatten(1) for name in pool], 1)
    sizes = torch.cat([weights[name].detach().flatten(1) for name in pool], 1).abs()
    return _split(_highest(sizes.masked_fill(~alive, -1.0), keep), masks, pool)


def random_masks(scores: Weights, counts: Mapping[str, Sequence[int]]) -> Masks:
    """Leave, in each layer, as many weights as asked for, those of the highest scores.

    With scores that stay the same from round to round, such masks only ever lose weights, as a ticket's do.

    Args:
        scores: random numbers, `(copy, *shape)`.
        counts: by layer, how many are to be left in each copy.
    """
    return {
        name: torch.cat([_highest(s.flatten(1), k) for s, k in zip(scores[name].split(1), ks, strict=True)]).view_as(
            scores[name]
        )
        for name, ks in counts.items()
    }


def _highest(scores: Float[Tensor, "copy weight"], keep: int) -> Bool[Tensor, "copy weight"]:
    """True at the `keep` highest scores of each copy, and nowhere else, ties included."""
    order = scores.argsort(dim=1, stable=True)[:, scores.shape[1] - keep :]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, value=True)


def _split(chosen: Bool[Tensor, "copy weight"], masks: Masks, pool: Sequence[str]) -> Masks:
    parts = chosen.split([masks[name][0].numel() for name in pool], 1)
    return {name: part.view_as(masks[name]) for name, part in zip(pool, parts, strict=True)}
