"""The masks of a pruning round: the ticket's, from the round before, and those of its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from assay.core.config.lottery import BASELINE, round_name
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.methods.lottery.masks import counts_left
from assay.methods.lottery.pruning import left_after, pools, prune, random_masks
from assay.models import artifact
from assay.models.artifact import MASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights
    from assay.methods.lottery import Options
    from assay.methods.lottery.pruning import Masks
    from assay.models.artifact import Artifact


def round_masks(context: TrainContext, options: Options, kinds: Mapping[str, str]) -> dict[str, Masks]:
    """The masks `(seed, *shape)` of each variant that a round trains, the ticket's first.

    The ticket prunes what the round before has left. `reinit` shares its masks, `random` has as many weights in each
    layer, and `one_shot` prunes the dense network to the same size: layer by layer, or with scope `global` over all.

    Args:
        context: the round, with its parents.
        options: which round, and how it prunes.
        kinds: the prunable parameters, each with its kind.

    Raises:
        AssayError: a parent does not belong to this round, or global pruning leaves a layer empty.
    """
    ranked = pools(kinds, options.prune_fraction, options.scope)
    prunable = [name for pool, _ in ranked for name in pool]
    weights, before = parent(context, round_name(options.round - 1), prunable)
    sizes = [left_after(sum(counts_left(before[name])[0] for name in pool), share) for pool, share in ranked]

    def pruned(weights: Weights, masks: Masks) -> Masks:
        parts = [prune(weights, masks, pool, size) for (pool, _), size in zip(ranked, sizes, strict=True)]
        found = {name: mask for part in parts for name, mask in part.items()}
        _refuse_empty(context, options, found)
        return found

    ticket = pruned(weights, before)
    masks = {"ticket": ticket}
    for control in options.controls:
        if control == "reinit":
            masks[control] = ticket
        elif control == "random":
            masks[control] = random_masks(
                _scores(context, ticket), {n: counts_left(mask) for n, mask in ticket.items()}
            )
        else:
            masks[control] = pruned(*parent(context, BASELINE, prunable))
    return masks


def parent(context: TrainContext, name: str, prunable: Sequence[str]) -> tuple[Weights, Masks]:
    """The trained weights of a training before this one, and what it has left: everything, where it pruned nothing.

    Args:
        context: this training.
        name: the other one: `baseline`, or a round, whose first variant is taken.
        prunable: the parameters that get masks.

    Returns:
        Weights and masks, `(seed, *shape)`, on the context's device.

    Raises:
        AssayError: it has other seeds, another model or other data, or its masks do not belong to the model.
    """
    found, where = context.parents[name], f"models/{name}"
    _refuse_strangers(context, found, where)
    variant = next(iter(found.manifest.variants))
    weights = {key: tensor[:, 0].to(context.device) for key, tensor in found.weights[variant].items()}
    stored = {
        key: tensor[:, 0].bool().to(context.device) for key, tensor in found.weights.get(variant + MASKS, {}).items()
    }
    if stored and stored.keys() != set(prunable):
        odd = sorted(stored.keys() ^ set(prunable))
        raise AssayError(f"{where}: its masks do not belong to this model and lottery.prune_fraction: {', '.join(odd)}")
    masks = stored or {key: torch.ones_like(weights[key], dtype=torch.bool) for key in prunable}
    for key, mask in masks.items():
        if weights[key].masked_select(~mask).any():
            raise AssayError(f"{where}: {key} has weights where its mask has none; delete it and run `dvc repro`")
    return weights, masks


def _refuse_strangers(context: TrainContext, found: Artifact, where: str) -> None:
    artifact.check(found, where)
    manifest, run = found.manifest, context.run
    for what, theirs, ours in (
        ("seeds", tuple(manifest.seeds), run.seeds),
        ("model", (manifest.model.name, manifest.model.arguments), (run.model.name, run.model.arguments)),
        ("data", manifest.data_digest, context.data.digest),
    ):
        if theirs != ours:
            raise AssayError(f"{where}: trained with other {what} ({theirs}) than {run.arm} ({ours}); run `dvc repro`")
    _, parameters, buffers = context.fresh(run.seeds[:1])
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in {**parameters, **buffers}.items()}
    for variant in manifest.variants:
        stored = {name: tuple(tensor.shape[2:]) for name, tensor in found.weights[variant].items()}
        if stored != shapes:
            odd = sorted(name for name in stored.keys() | shapes.keys() if stored.get(name) != shapes.get(name))
            raise AssayError(f"{where}: its {variant} does not fit the model: {', '.join(odd)}; run `dvc repro`")


def _scores(context: TrainContext, masks: Masks) -> Weights:
    """Random numbers for every weight, the same in every round, so that the random masks only ever lose weights."""
    return {
        name: torch.stack(
            [
                torch.rand(mask.shape[1:], generator=generator(seed, f"random ticket/{name}"))
                for seed in context.run.seeds
            ]
        ).to(mask.device)
        for name, mask in masks.items()
    }


def _refuse_empty(context: TrainContext, options: Options, masks: Masks) -> None:
    for name, mask in masks.items():
        for seed, left in zip(context.run.seeds, counts_left(mask), strict=True):
            if left == 0:
                raise AssayError(
                    f"params.yaml: lottery.rounds.{options.round}: pruning with scope {options.scope} leaves no "
                    f"weight of seed {seed} in {name}; ask for fewer rounds, or for a smaller lottery.prune_fraction"
                )
