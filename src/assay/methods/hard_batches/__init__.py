"""Training on the mini-batches with the highest loss.

Sahayam, Zakkam and Jayaraman, "Can we learn better with hard samples?" (arXiv 2304.03486). Batches are fixed once.
After a first epoch over all of them, each round visits the share `delta` whose recorded losses are largest. A batch's
loss is recorded when the batch is visited, before the update that it makes; the others keep an old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from assay.core.config import Section
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.engine.batches import Batches, orders
from assay.engine.step_rule import GradientUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.batches import Score
    from assay.engine.context import TrainContext

Selection = Literal["hardest", "random", "fresh"]

PAPER = {
    "key": "sahayam2023",
    "topic": "Hard mini-batches",
    "cited": "Sahayam, Zakkam, Jayaraman 2023, arXiv 2304.03486",
}
# 6 batches, so that the first epoch ends at step 6 and rounds of 3 at 9 and 12
CONTRACT_ARMS: dict[str, dict[str, Any]] = {
    "hard batches": {"options": {"delta": 0.5}},
    "hard batches, fresh losses": {"options": {"delta": 0.5, "selection": "fresh"}},
    "hard batches, random": {"options": {"delta": 0.5, "selection": "random"}},
    "hard batches, noisy labels": {"label_noise": 0.2},
}
KEYS = ("batches", "batches_per_round", "rounds", "first_selection_among_the_earliest", "by_chance")
record_keys = tuple(f"hard_batches.{key}" for key in KEYS)


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        delta: the share of the batches that a round visits, in (0, 1].
        selection: which ones: the `hardest` by recorded losses (the paper's); as controls, `random` ones, or the
            hardest by `fresh` losses: every round scores the whole training set, billed as forward samples.
    """

    delta: float = Field(default=0.5, gt=0, le=1)
    selection: Selection = "hardest"


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse, with an `AssayError`, a training of one batch, or one that ends with the epoch that visits them all."""
    count = examples // run.train.batch_size
    if count < 2:
        raise AssayError(
            f"{run.place('batch_size')}: {examples} training examples make one batch of {run.train.batch_size}, so "
            f"{run.arm} has nothing to choose from; set it to {examples // 2} or less"
        )
    if run.train.steps <= count:
        raise AssayError(
            f"{run.place('steps')}: {run.train.steps} steps of {run.arm} are over before its first round, which "
            f"follows an epoch of {count} batches; set it to {count + 1} or more, or batch_size higher"
        )


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training on chosen batches."""
    seeds, batch_size = context.run.seeds, context.run.train.batch_size
    return GradientUpdate(context, HardBatches(context.labels, seeds, batch_size, options.delta, options.selection))


class HardBatches(Batches):
    """Fixed batches: each once, then in rounds those that were chosen, in ascending order; each copy has its own."""

    kept = ("losses", "visits", "_round", "_first")

    def __init__(
        self, labels: Tensor, seeds: Sequence[int], batch_size: int, delta: float, selection: Selection = "hardest"
    ) -> None:
        super().__init__(labels, seeds, batch_size)
        self.selection, self.count = selection, self.examples // batch_size
        self.per_round = max(1, int(delta * self.count))
        shape = len(self.seeds), self.count
        order = orders(self.examples, self.seeds, 0)[:, : self.count * batch_size].to(self.device)
        self._batches: Int64[Tensor, "copy batch position"] = order.view(*shape, batch_size)
        self._rows = torch.arange(len(self.seeds), device=self.device)
        self.losses: Float[Tensor, "copy batch"] = torch.zeros(shape, device=self.device)
        self.visits: Int64[Tensor, "copy batch"] = torch.zeros_like(self.losses, dtype=torch.int64)
        self._round = torch.arange(self.count, device=self.device).expand(shape)
        self._first, self._now = self._round[:, :0], self._round[:, 0]
        self._began = 0  # the first step of the round
        self._planned: Tensor | None = None  # the round whose batches these are, and them on the CPU
        self._of_round: tuple[Tensor, ...] = ()
        self._on_cpu: tuple[Tensor, ...] = ()

    def select(self, step: int, score: Score) -> Int64[Tensor, "copy position"]:
        """The next batch of the round; a round that begins is chosen first."""
        position = step
        if step >= self.count:
            number, position = divmod(step - self.count, self.per_round)
            if position == 0:
                self._round = self._choose(number, score)
                self._first = self._round if number == 0 else self._first
        self._began, self._now = step - position, self._round[:, position]
        if self._planned is not self._round:  # it has just been chosen, or comes from a checkpoint
            order = self._batches[self._rows[:, None], self._round].transpose(0, 1).contiguous()
            self._planned, self._of_round, self._on_cpu = self._round, order.unbind(), ()
        return self._of_round[position]

    def ahead(self, step: int) -> tuple[Int64[Tensor, "copy position"], Int64[Tensor, "copy position"]] | None:
        """Known of the steps of a round that has been chosen."""
        position = step - self._began
        if not 0 <= position < len(self._of_round):
            return None
        self._on_cpu = self._on_cpu or torch.stack(self._of_round).cpu().unbind()
        return self._of_round[position], self._on_cpu[position]

    def _choose(self, number: int, score: Score) -> Int64[Tensor, "copy chosen"]:
        if self.selection == "random":
            sources = (generator(seed, "random batches", number) for seed in self.seeds)
            order = torch.stack([torch.randperm(self.count, generator=source) for source in sources]).to(self.device)
        else:
            if self.selection == "fresh":
                everything = self._batches.flatten(1)
                self.losses = score(everything, self.labels(everything)).view_as(self._batches).mean(2)
            order = self.losses.sort(dim=1, descending=True, stable=True).indices
        return order[:, : self.per_round].sort(1).values

    def observe(self, step: int, indices: Tensor, losses: Float[Tensor, "copy position"]) -> None:  # noqa: ARG002
        """Record the loss of the batches that were visited, and of no other."""
        self.losses[self._rows, self._now] = losses.mean(1)
        self.visits[self._rows, self._now] += 1

    def record(self) -> dict[str, Any]:
        """How often batches were visited, and how much of the first selection was seen earliest, while losses fell."""
        first = self._first if self._first.shape[1] else self._first[:0]  # nothing where no round was chosen
        earliest = (first < self.per_round).float().mean(1).tolist()
        by_visits = [enumerate(visits.bincount().tolist()) for visits in self.visits]
        return {
            "hard_batches": {
                "batches": self.count,
                "batches_per_round": self.per_round,
                "rounds": max(0, -(-(int(self.visits[0].sum()) - self.count) // self.per_round)),
                "batches_by_visits": [{str(times): count for times, count in each if count} for each in by_visits],
                "first_selection_among_the_earliest": [round(share, 6) for share in earliest],
                "by_chance": round(self.per_round / self.count, 6),
            }
        }
