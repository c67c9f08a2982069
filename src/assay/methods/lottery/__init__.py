"""Lottery tickets: prune by magnitude, go back to the early weights, train again (Frankle and Carbin, ICLR 2019).

"The Lottery Ticket Hypothesis" (arXiv 1803.03635 v5); going back to a step after the start: Frankle et al., arXiv
1903.01611. A pruning round is one stack: the ticket of every seed and its controls, each of which changes one thing:

- `reinit`: the ticket's masks on fresh weights of the same distribution, never pretrained ones;
- `random`: the ticket's weights to start from and its number of weights in each layer, at random places;
- `one_shot`: masks of the same size, found by pruning the dense network once; from round 2 on.

A round is no arm: its options come from the section `lottery`, and it starts from the round before. Weights are ranked
in *pools*, a layer or (with scope `global`) all layers of a fraction. Masks are booleans, true where a weight is left.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from assay import models
from assay.core.config import BASELINE, PARAMS_FILE, Section
from assay.core.config.blocks import block_name
from assay.core.config.sections import Control, Scope, round_name
from assay.core.errors import AssayError, again
from assay.core.runtime import generator, key
from assay.engine.batches import EpochBatches
from assay.engine.step_rule import GradientUpdate, Outcome, Parametrisation
from assay.models import artifact, nets, sparse
from assay.models.artifact import MASKS, Cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights

    Masks = dict[str, Bool[Tensor, "copy ..."]]
    Pool = tuple[tuple[str, ...], float]

PAPER = {"key": "frankle2019", "topic": "Lottery tickets", "cited": "Frankle and Carbin 2019, arXiv 1803.03635"}
_PRUNING = {"round": 1, "after": "baseline", "prune_fraction": {"linear": 0.2, "output": 0.2}, "scope": "layerwise"}
_TRAINING = {"rewind": 0, "controls": ["reinit", "random", "one_shot"]}
CONTRACT_ARMS = {"lottery": {"arm": "round-1", "options": {**_PRUNING, **_TRAINING}}}


class Options(Section):
    """A pruning round: what `assay.core.config.sections.Lottery.options` says of it."""

    round: int
    after: str
    prune_fraction: dict[str, float]
    scope: Scope
    rewind: int
    controls: list[Control]


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse, with an `AssayError`, a round that would leave a layer empty, or prune nothing."""
    network = models.blueprint(run.model.name, images, run.model.arguments)
    found = pools(models.weight_names(network), options.prune_fraction, options.scope)
    where = f"{PARAMS_FILE}: lottery"
    if not found:
        kinds = ", ".join(options.prune_fraction)
        raise AssayError(f"{where}.prune_fraction: {run.model.name} has no layer of a kind that it names ({kinds})")
    pruned = 0
    for pool, fraction in found:
        count = sum(network.get_parameter(name).numel() for name in pool)
        left = left_after(count, fraction, options.round)
        if left < len(pool):
            raise AssayError(
                f"{where}.rounds.{options.round}: would leave {left} of {count} weights in {', '.join(pool)}; ask for "
                "fewer rounds, or for a smaller lottery.prune_fraction"
            )
        pruned += left_after(count, fraction, options.round - 1) - left
    if not pruned:
        raise AssayError(
            f"{where}.rounds.{options.round}: would prune no weight, since the share of what is left rounds to none; "
            "ask for fewer rounds, or for a larger lottery.prune_fraction"
        )


def variants(options: Options) -> dict[str, int]:
    """The ticket, then its controls."""
    return dict.fromkeys(("ticket", *options.controls), 1)


def moved_networks(options: Options) -> int:
    """Each variant is a network of its own, and all of them move at every step."""
    return len(variants(options))


def first_step(options: Options) -> int:
    """The loop goes on from the early weights."""
    return options.rewind


def record_keys(run: Run, options: Options) -> tuple[str, ...]:  # noqa: ARG001
    """The numbers of `Round.record`; what it says of each layer is no number a seed that a claim could name."""
    return ("round", *(f"trainings.{name}" for name in variants(options)), "dense_bytes", "sparse_bytes")


def left_after(count: int, fraction: float, rounds: int = 1) -> int:
    """How many of `count` weights are left when each round takes a fraction, as it is written; a half goes to even."""
    for _ in range(rounds):
        count -= round(Fraction(str(fraction)) * count)
    return count


def counts_left(mask: Bool[Tensor, "copy ..."]) -> list[int]:
    """How many weights of a layer are left in each copy."""
    return mask.flatten(1).sum(1).tolist()


def pools(kinds: Mapping[str, str], fractions: Mapping[str, float], scope: Scope) -> list[Pool]:
    """Which prunable parameters are ranked together (each, or with scope `global` all of a fraction), and the fraction.

    The kinds are those of the parameters; those of a kind without a fraction are not pruned.
    """
    pruned = {name: fractions[kind] for name, kind in kinds.items() if kind in fractions}
    if scope == "layerwise":
        return [((name,), fraction) for name, fraction in pruned.items()]
    return [(tuple(n for n, f in pruned.items() if f == one), one) for one in dict.fromkeys(pruned.values())]


def prune(weights: Weights, masks: Masks, pool: Sequence[str], keep: int) -> Masks:
    """New masks of a pool's layers, with the `keep` weights of greatest magnitude of each copy; of equals, the last."""
    alive = torch.cat([masks[name].flatten(1) for name in pool], 1)
    sizes = torch.cat([weights[name].detach().flatten(1) for name in pool], 1).abs().masked_fill(~alive, -1.0)
    highest = sizes.argsort(dim=1, stable=True)[:, sizes.shape[1] - keep :]
    left = torch.zeros_like(alive).scatter_(1, highest, value=True)
    parts = left.split([masks[name][0].numel() for name in pool], 1)
    return {name: part.view_as(masks[name]) for name, part in zip(pool, parts, strict=True)}


def round_masks(context: TrainContext, options: Options, kinds: Mapping[str, str]) -> dict[str, Masks]:
    """The masks `(seed, *shape)` of each variant that a round trains, the ticket's first.

    The ticket prunes what the round before has left; `one_shot` prunes the dense network to the same size of each pool.

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
                    f"{PARAMS_FILE}: lottery.rounds.{options.round}: pruning with scope {options.scope} leaves no "
                    f"weight of seed {seeds[counts_left(mask).index(0)]} in {name}; ask for fewer rounds, or for a "
                    "smaller lottery.prune_fraction"
                )
        return found

    ticket = pruned(weights, before)
    masks: dict[str, Masks] = {"ticket": ticket, **dict.fromkeys(options.controls, ticket)}
    if "one_shot" in masks:
        masks["one_shot"] = pruned(*_parent(context, BASELINE, prunable))
    if "random" in masks:
        masks["random"] = {}
        for name, mask in ticket.items():  # scores are the same in every round: masks only ever lose weights
            rows = []
            for seed, keep in zip(seeds, counts_left(mask), strict=True):
                score = torch.rand(1, *mask.shape[1:], generator=generator(seed, f"random ticket/{name}"))
                everywhere = {name: torch.ones_like(mask[:1])}
                rows.append(prune({name: score.to(mask.device)}, everywhere, [name], keep)[name])
            masks["random"][name] = torch.cat(rows)
    return masks


def _parent(context: TrainContext, name: str, prunable: Sequence[str]) -> tuple[Weights, Masks]:
    """The trained weights of a fitting `baseline` or round, and what it has left: everything, if it pruned nothing."""
    found, run = context.parents[name], context.run
    where = f"models/{block_name(name, run.block)}"
    artifact.check(found, where)
    manifest, variant = found.manifest, next(iter(found.manifest.variants))
    network, parameters, buffers = context.fresh(run.seeds[:1])
    for what, theirs, ours in (
        ("seeds", tuple(manifest.seeds), run.seeds),
        ("model", (manifest.model.name, manifest.model.arguments), (run.model.name, run.model.arguments)),
        ("weights", manifest.model.weights_sha256, getattr(nets.source_of(network), "sha256", None)),
        ("data", manifest.data_digest, context.data.digest),
    ):
        if theirs != ours:
            raise AssayError(f"{where}: trained with other {what} ({theirs}) than {run.arm} ({ours}); run `dvc repro`")
    shapes = {(name, tensor.shape[1:]) for name, tensor in {**parameters, **buffers}.items()}
    if odd := shapes ^ {(name, tensor.shape[2:]) for name, tensor in found.weights[variant].items()}:
        names = ", ".join(sorted({name for name, _ in odd}))
        raise AssayError(f"{where}: its {variant} does not fit the model: {names}; run `dvc repro`")
    weights, stored = (
        {name: tensor[:, 0].to(context.device) for name, tensor in found.weights.get(group, {}).items()}
        for group in (variant, variant + MASKS)
    )
    if stored and stored.keys() != set(prunable):
        names = ", ".join(sorted(stored.keys() ^ set(prunable)))
        raise AssayError(f"{where}: its masks do not belong to this model and lottery.prune_fraction: {names}")
    masks = {name: (stored[name] if stored else torch.ones_like(weights[name])).bool() for name in prunable}
    for layer, mask in masks.items():
        if weights[layer].masked_select(~mask).any():
            raise AssayError(f"{where}: {layer} has weights where its mask has none; {again(Path(where))}")
    return weights, masks


class Masked(Parametrisation):
    """Several variants side by side in one stack, each with masks of its own, by parameter `(seed, *shape)`.

    A pruned weight starts at 0, and its gradient, moments and decay are 0, so that every optimizer leaves it at 0.
    `weights` counts the prunable ones, pruned or not; `prior_cost` is what earlier trainings of a variant cost.
    """

    def __init__(self, masks: Mapping[str, Masks], weights: int, prior_cost: Mapping[str, Cost]) -> None:
        self._masks, self._weights, self._prior_cost = masks, weights, prior_cost
        first = next(iter(masks.values()))
        self.factors = {name: torch.cat([own[name] for own in masks.values()]).float() for name in first}

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """None for what is pruned."""
        for name in self.factors.keys() & gradients.keys():  # what is frozen has none
            gradients[name].mul_(self.factors[name])
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
        return {"weights": {name: factor[0].numel() for name, factor in self.factors.items()}, "left": left}


class Round(GradientUpdate):
    """Gradient training under the masks of a round, from the early weights of each variant."""

    def __init__(self, context: TrainContext, options: Options) -> None:
        run, rewind = context.run, options.rewind
        network, initial, buffers = context.fresh(run.seeds)
        kinds = models.weight_names(network)
        masks = round_masks(context, options, kinds)

        def early(weights: Weights, buffers: Weights) -> GradientUpdate:
            dense = GradientUpdate(context, context.batches(), start=(network, weights, buffers))  # as the baseline's
            for step in range(rewind):
                dense.step(step)
            return dense

        starts = dict.fromkeys(masks, early(initial, buffers))
        if "reinit" in masks:
            others = [key(seed, "reinitialisation", options.round) for seed in run.seeds]
            starts["reinit"] = early(*context.fresh(others, scratch=True)[1:])
        parents = (context.parents[name].manifest for name in (options.after, BASELINE))
        before, dense = (next(iter(each.variants.values())).cost for each in parents)
        rewound = Cost(train_samples=rewind * run.train.batch_size, optimizer_steps=rewind)
        prior = {"ticket": before, "reinit": before + rewound, "random": rewound, "one_shot": dense}
        masked = Masked(masks, sum(initial[name][0].numel() for name in kinds), prior)
        stored = {name: torch.cat([each.stored[name] for each in starts.values()]) for name in initial}
        stored |= {name: torch.where(factor.bool(), stored[name], 0) for name, factor in masked.factors.items()}
        kept = {name: torch.cat([each.buffers[name] for each in starts.values()]) for name in buffers}
        seeds = run.seeds * len(masks)
        batches = EpochBatches(context.labels, seeds, run.train.batch_size)  # the same for all networks of a seed
        super().__init__(context, batches, masked, seeds=seeds, start=(network, stored, kept))
        self._number, self.curve_names, self.first_step = options.round, tuple(masks), rewind

    def record(self) -> dict[str, Any]:
        """Trainings behind each variant, counts of weights, and bytes on disk: of a dense network and each ticket."""
        trainings = {"ticket": self._number + 1, "reinit": self._number + 1, "random": 1, "one_shot": 2}
        ticket, seeds = self.variants()["ticket"].weights, len(self.seeds) // len(self.curve_names)
        states = [{name: tensor[seed, 0] for name, tensor in ticket.items()} for seed in range(seeds)]
        return {
            "round": self._number,
            "trainings": {variant: trainings[variant] for variant in self.curve_names},
            **super().record(),
            "dense_bytes": len(sparse.encoded({name: torch.ones_like(each) for name, each in states[0].items()})),
            "sparse_bytes": [len(sparse.encoded(state)) for state in states],
        }


update = Round
