"""Lottery tickets: prune by magnitude, go back to the early weights, train again (Frankle and Carbin, ICLR 2019).

"The Lottery Ticket Hypothesis" (arXiv 1803.03635 v5); going back to a step after the start: "Stabilizing the Lottery
Ticket Hypothesis" (Frankle et al., arXiv 1903.01611). A pruning round is one stack: the ticket of every seed and,
where asked for, its controls, each of which changes one thing about it:

- `reinit`: the ticket's masks on fresh weights of the same distribution;
- `random`: the ticket's weights to start from and its number of weights in each layer, at random places;
- `one_shot`: masks of the same size, found by pruning the dense network once; from round 2 on.

A round is no arm: its options come from the section `lottery`, and it starts from the round before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from assay import models
from assay.core.config import BASELINE, PARAMS_FILE, Section
from assay.core.config.sections import Control, Scope  # noqa: TC001 (pydantic reads annotations at run time)
from assay.core.errors import AssayError
from assay.core.runtime import key
from assay.engine.batches import EpochBatches
from assay.engine.step_rule import GradientUpdate
from assay.methods.lottery.pruning import Masked, left_after, pools, round_masks
from assay.models import sparse
from assay.models.artifact import Cost

if TYPE_CHECKING:
    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights

PAPER = {"key": "frankle2019", "topic": "Lottery tickets", "cited": "Frankle and Carbin 2019, arXiv 1803.03635"}
CONTRACT_ARMS = {
    "lottery": {
        "arm": "round-1",
        "options": {
            "round": 1,
            "after": "baseline",
            "prune_fraction": {"linear": 0.2, "output": 0.2},
            "scope": "layerwise",
            "rewind": 0,
            "controls": ["reinit", "random", "one_shot"],
        },
    },
}


class Options(Section):
    """A pruning round: what `assay.core.config.sections.Lottery.options` says of it."""

    round: int
    after: str
    prune_fraction: dict[str, float]
    scope: Scope
    rewind: int
    controls: list[Control]


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse, with an `AssayError`, a round that would leave a layer empty, or prune nothing; it takes no training."""
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


class Round(GradientUpdate):
    """Gradient training under the masks of a round, from the early weights of each variant."""

    def __init__(self, context: TrainContext, options: Options) -> None:
        run, rewind = context.run, options.rewind
        network, initial, buffers = context.fresh(run.seeds)
        kinds = models.weight_names(network)
        masks = round_masks(context, options, kinds)

        def early(weights: Weights, buffers: Weights) -> GradientUpdate:
            """The dense training at the step to go back to: one copy a seed, as the baseline's, and so bit for bit."""
            dense = GradientUpdate(context, context.batches(), start=(network, weights, buffers))
            for step in range(rewind):
                dense.step(step)
            return dense

        starts = dict.fromkeys(masks, early(initial, buffers))
        if "reinit" in masks:
            again = context.fresh([key(seed, "reinitialisation", options.round) for seed in run.seeds])
            starts["reinit"] = early(*again[1:])
        parents = (context.parents[name].manifest for name in (options.after, BASELINE))
        before, dense = (next(iter(each.variants.values())).cost for each in parents)
        rewound = Cost(train_samples=rewind * run.train.batch_size, optimizer_steps=rewind)
        prior = {"ticket": before, "reinit": before + rewound, "random": rewound, "one_shot": dense}
        masked = Masked(masks, sum(initial[name][0].numel() for name in kinds), prior)
        stored = {name: torch.cat([each.stored[name] for each in starts.values()]) for name in initial}
        kept = {name: torch.cat([each.buffers[name] for each in starts.values()]) for name in buffers}
        seeds = run.seeds * len(masks)
        batches = EpochBatches(context.labels, seeds, run.train.batch_size)  # the same for all networks of a seed
        super().__init__(context, batches, masked, seeds=seeds, start=(network, masked.pruned(stored), kept))
        self._number, self.curve_names, self.first_step = options.round, tuple(masks), rewind

    def record(self) -> dict[str, Any]:
        """Trainings behind each variant, counts of weights, and bytes on disk: of a dense network and each ticket."""
        trainings = {"ticket": self._number + 1, "reinit": self._number + 1, "random": 1, "one_shot": 2}
        ticket = self.variants()["ticket"].weights
        copies = zip(*ticket.values(), strict=True)
        states = [dict(zip(ticket, (member[0] for member in copy), strict=True)) for copy in copies]
        return {
            "round": self._number,
            "trainings": {variant: trainings[variant] for variant in self.curve_names},
            **super().record(),
            "dense_bytes": len(sparse.encoded({name: torch.ones_like(each) for name, each in states[0].items()})),
            "sparse_bytes": [len(sparse.encoded(state)) for state in states],
        }


update = Round
