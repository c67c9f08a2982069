"""Which weights a round prunes: magnitude pruning (arXiv 1803.03635, section 2), and the masks of a round's variants.

A *pool* is a set of layers whose weights are ranked together: one layer where pruning is layerwise, all layers of one
fraction where it is global. Masks are `(copy, *shape)` booleans, true where a weight is left.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from assay.core.config.blocks import block_name
from assay.core.config.sections import BASELINE, round_name
from assay.core.errors import AssayError, again
from assay.core.runtime import generator
from assay.engine.step_rule import Outcome, Parametrisation
from assay.models import artifact
from assay.models.artifact import MASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor

    from assay.core.config.sections import Scope
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights
    from assay.methods.lottery import Options
    from assay.models.artifact import Cost

    Masks = dict[str, Bool[Tensor, "copy ..."]]
    Pool = tuple[tuple[str, ...], float]


def left_after(count: int, fraction: float, rounds: int = 1) -> int:
    """How many of `count` weights are left when each round takes this share of them, rounded to a whole number.

    The share is the decimal number as it is written, so 0.1 of 1,000 is 100; a half is rounded to even.
    """
    for _ in range(rounds):
        count -= round(Fraction(str(fraction)) * count)
    return count


def counts_left(mask: Bool[Tensor, "copy ..."]) -> list[int]:
    """How many weights of a layer are left in each copy."""
    return mask.flatten(1).sum(1).tolist()


def pools(kinds: Mapping[str, str], fractions: Mapping[str, float], scope: Scope) -> list[Pool]:
    """Which layers are ranked together, and the share that a round takes of each such pool.

    The kinds are those of the prunable parameters; layers of a kind without a fraction are not pruned. With scope
    `layerwise` each layer is a pool, with `global` all layers of a fraction are one.
    """
    pruned = {name: fractions[kind] for name, kind in kinds.items() if kind in fractions}
    if scope == "layerwise":
        return [((name,), fraction) for name, fraction in pruned.items()]
    return [(tuple(n for n, f in pruned.items() if f == one), one) for one in dict.fromkeys(pruned.values())]


def prune(weights: Weights, masks: Masks, pool: Sequence[str], keep: int) -> Masks:
    """Leave the `keep` weights of greatest magnitude in a pool, of those that are left: new masks of its layers.

    Exactly `keep` are left in each copy: of equal magnitudes, those that come later in the pool's order stay.
    """
    alive = torch.cat([masks[name].flatten(1) for name in pool], 1)
    sizes = torch.cat([weights[name].detach().flatten(1) for name in pool], 1).abs()
    parts = _highest(sizes.masked_fill(~alive, -1.0), keep).split([masks[name][0].numel() for name in pool], 1)
    return {name: part.view_as(masks[name]) for name, part in zip(pool, parts, strict=True)}


def random_masks(scores: Weights, counts: Mapping[str, Sequence[int]]) -> Masks:
    """Leave, in each layer and copy, as many weights as asked for, those of the highest scores `(copy, *shape)`."""
    masks = {}
    for name, ks in counts.items():
        rows = [_highest(row.flatten(1), keep) for row, keep in zip(scores[name].split(1), ks, strict=True)]
        masks[name] = torch.cat(rows).view_as(scores[name])
    return masks


def _highest(scores: Float[Tensor, "copy weight"], keep: int) -> Bool[Tensor, "copy weight"]:
    """True at the `keep` highest scores of each copy, and nowhere else, ties included."""
    order = scores.argsort(dim=1, stable=True)[:, scores.shape[1] - keep :]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order, value=True)


def round_masks(context: TrainContext, options: Options, kinds: Mapping[str, str]) -> dict[str, Masks]:
    """The masks `(seed, *shape)` of each variant that a round trains, the ticket's first.

    The ticket prunes what the round before has left. `reinit` shares its masks, `random` has as many weights in each
    layer, and `one_shot` prunes the dense network to the same size: layer by layer, or with scope `global` over all.

    Raises:
        AssayError: a parent does not belong to this round, or global pruning leaves a layer empty.
    """
    ranked, seeds = pools(kinds, options.prune_fraction, options.scope), context.run.seeds
    prunable = [name for pool, _ in ranked for name in pool]
    weights, before = _parent(context, round_name(options.round - 1), prunable)
    sizes = [left_after(sum(counts_left(before[name])[0] for name in pool), share) for pool, share in ranked]

    def pruned(weights: Weights, masks: Masks) -> Masks:
        found: Masks = {}
        for (pool, _), size in zip(ranked, sizes, strict=True):
            found |= prune(weights, masks, pool, size)
        for name, mask in found.items():
            if 0 in counts_left(mask):
                raise AssayError(
                    f"params.yaml: lottery.rounds.{options.round}: pruning with scope {options.scope} leaves no weight "
                    f"of seed {seeds[counts_left(mask).index(0)]} in {name}; ask for fewer rounds, or for a smaller "
                    "lottery.prune_fraction"
                )
        return found

    ticket = pruned(weights, before)
    masks: dict[str, Masks] = {"ticket": ticket, **dict.fromkeys(options.controls, ticket)}
    if "one_shot" in masks:
        masks["one_shot"] = pruned(*_parent(context, BASELINE, prunable))
    if "random" in masks:
        scores = {}  # the same in every round, so that the masks only ever lose weights
        for name, mask in ticket.items():
            sources = [generator(seed, f"random ticket/{name}") for seed in seeds]
            drawn = [torch.rand(mask.shape[1:], generator=source) for source in sources]
            scores[name] = torch.stack(drawn).to(mask.device)
        masks["random"] = random_masks(scores, {name: counts_left(mask) for name, mask in ticket.items()})
    return masks


def _parent(context: TrainContext, name: str, prunable: Sequence[str]) -> tuple[Weights, Masks]:
    """The trained weights of a fitting `baseline` or round, and what it has left: everything, if it pruned nothing."""
    found, run = context.parents[name], context.run
    where = f"models/{block_name(name, run.block)}"
    artifact.check(found, where)
    manifest = found.manifest
    for what, theirs, ours in (
        ("seeds", tuple(manifest.seeds), run.seeds),
        ("model", (manifest.model.name, manifest.model.arguments), (run.model.name, run.model.arguments)),
        ("data", manifest.data_digest, context.data.digest),
    ):
        if theirs != ours:
            raise AssayError(f"{where}: trained with other {what} ({theirs}) than {run.arm} ({ours}); run `dvc repro`")
    _, parameters, buffers = context.fresh(run.seeds[:1])
    shapes = {(name, tensor.shape[1:]) for name, tensor in {**parameters, **buffers}.items()}
    for variant in manifest.variants:
        odd = {name for name, _ in shapes ^ {(name, each.shape[2:]) for name, each in found.weights[variant].items()}}
        if odd:
            names = ", ".join(sorted(odd))
            raise AssayError(f"{where}: its {variant} does not fit the model: {names}; run `dvc repro`")
    variant = next(iter(manifest.variants))
    weights, stored = (
        {key: tensor[:, 0].to(context.device) for key, tensor in found.weights.get(group, {}).items()}
        for group in (variant, variant + MASKS)
    )
    if stored and stored.keys() != set(prunable):
        names = ", ".join(sorted(stored.keys() ^ set(prunable)))
        raise AssayError(f"{where}: its masks do not belong to this model and lottery.prune_fraction: {names}")
    masks = {key: (stored[key] if stored else torch.ones_like(weights[key])).bool() for key in prunable}
    for key, mask in masks.items():
        if weights[key].masked_select(~mask).any():
            raise AssayError(f"{where}: {key} has weights where its mask has none; {again(Path(where))}")
    return weights, masks


class Masked(Parametrisation):
    """Several variants side by side in one stack, each with masks of its own.

    A pruned weight starts at 0 and its gradient is always 0. Momentum, Adam's moments and weight decay of such a weight
    are 0 as well, so every optimizer leaves it at exactly 0, and no product with the mask is needed to run.

    Args:
        masks: by variant, then by parameter, `(seed, *shape)`; the copies of the stack stand in this order.
        weights: how many prunable weights there are, pruned or not.
        prior_cost: by variant, what earlier trainings cost that it rests on.
    """

    def __init__(self, masks: Mapping[str, Masks], weights: int, prior_cost: Mapping[str, Cost]) -> None:
        self._masks, self._weights, self._prior_cost = masks, weights, prior_cost
        first = next(iter(masks.values()))
        self._factors = {name: torch.cat([own[name] for own in masks.values()]).float() for name in first}

    def pruned(self, weights: Weights) -> Weights:
        """The weights `(copy, *shape)`, with 0 in place of what is pruned."""
        pruned = {name: torch.where(factor.bool(), weights[name], 0) for name, factor in self._factors.items()}
        return {**weights, **pruned}

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """None for what is pruned."""
        for name, factor in self._factors.items():
            gradients[name].mul_(factor)
        return gradients

    def variants(self, stored: Weights, buffers: Weights) -> dict[str, Outcome]:
        """The variants, each with its masks and its density."""
        copies = {name: tensor.chunk(len(self._masks)) for name, tensor in {**stored, **buffers}.items()}
        return {
            variant: Outcome(
                {name: parts[place].unsqueeze(1) for name, parts in copies.items()},
                density=1 - sum(int((~mask[0]).sum()) for mask in masks.values()) / self._weights,
                masks={name: mask[:, None].to(torch.uint8) for name, mask in masks.items()},
                prior_cost=self._prior_cost[variant],
            )
            for place, (variant, masks) in enumerate(self._masks.items())
        }

    def record(self, stored: Weights) -> dict[str, Any]:  # noqa: ARG002
        """How many weights each layer has and, in each variant and seed, has left."""
        left = {variant: {n: counts_left(mask) for n, mask in masks.items()} for variant, masks in self._masks.items()}
        return {"weights": {name: factor[0].numel() for name, factor in self._factors.items()}, "left": left}
