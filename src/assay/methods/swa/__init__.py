"""Stochastic weight averaging, the control that every subspace has to beat.

Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, "Averaging Weights Leads to Wider Optima and Better Generalization" (UAI
2018, arXiv 1803.05407), as Wortsman et al. (arXiv 2102.10472) compare with it: the rate decays to that of averaging
within a share of the budget, then it stays or runs in cycles, and weights are averaged at the end of each cycle, all
alike. The authors' code decays linearly; here the arm's schedule gives the shape.

The variant `last` is no control: it is where this training ends, at the rate of averaging and not annealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from assay.core.config import PARAMS_FILE, Section
from assay.core.errors import AssayError
from assay.engine import batch_norm
from assay.engine.optim import rate_factor
from assay.engine.step_rule import Averaging, GradientUpdate, Outcome
from assay.models.artifact import Cost

if TYPE_CHECKING:
    from assay.core.config import Run, Train
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights

PAPER = {"key": "izmailov2018", "topic": "Stochastic weight averaging", "cited": "Izmailov et al. 2018, UAI"}
CONTRACT_ARMS = {
    "swa": {"options": {"start": 0.5, "cycle_steps": 2}},
    "swa with batch norm": {
        "model": {"name": "vgg", "widths": [[4], [4]], "batch_norm": True},
        "options": {"start": 0.9, "cycle_steps": 1},
    },
}
variants = {"average": 1, "last": 1}
record_keys = ("averaged", "averaged_from_step")


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        start: the share of the steps after which averaging begins; the arm's schedule runs its course before.
        cycle_steps: the steps from one averaged network to the next; an epoch unless given.
        lr: the learning rate at the start of a cycle, at which the schedule is made to end; unless given, the one at
            which it ends of itself.
        lr_end: the one at the end of a cycle, reached linearly; unless given the rate stays.
    """

    start: float = Field(default=0.75, gt=0, lt=1)
    cycle_steps: int | None = Field(default=None, ge=1)
    lr: float | None = Field(default=None, gt=0)
    lr_end: float | None = Field(default=None, gt=0)

    def cycles(self, train: Train, examples: int) -> tuple[int, int]:
        """The step, from 0, with which the first cycle begins, and the steps of a cycle."""
        return int(self.start * train.steps), self.cycle_steps or examples // train.batch_size


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse fewer than two cycles, and a schedule that warms up until averaging begins or ends at 0 (`AssayError`)."""
    train, where = run.train, f"{PARAMS_FILE}: arms.{run.arm}"
    first, cycle = options.cycles(train, examples)
    if first + 2 * cycle > train.steps:
        raise AssayError(
            f"{where}.cycle_steps: two cycles of {cycle} steps from step {first} (start: {options.start}) end after "
            f"the last of {train.steps} steps, and the average needs two networks; lower cycle_steps or start"
        )
    if train.schedule.warmup_steps >= first:
        raise AssayError(
            f"{where}.start: averaging would begin at step {first}, before the {train.schedule.warmup_steps} warm-up "
            "steps of the schedule are over; choose a larger share"
        )
    if options.lr is None and not rate_factor(train.schedule, first, first):
        raise AssayError(
            f"{where}.lr: missing; the schedule ends at a rate of 0, at which nothing moves: give the rate of "
            "averaging, such as half of the optimizer's"
        )


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training that also keeps an average of the weights."""
    return GradientUpdate(context, context.batches(), averaging=WeightAveraging(context, options))


class WeightAveraging(Averaging):
    """The equal average of the weights at the ends of cycles."""

    kept = ("_average", "_count")

    def __init__(self, context: TrainContext, options: Options) -> None:
        self._train, self._data, self._options = context.run.train, context.data, options
        self._network, _, self._buffers = context.fresh(context.run.seeds)
        self._frozen = context.frozen
        self._first, self._cycle = options.cycles(self._train, len(self._data.train.labels))
        self._average: Weights = {}
        self._count = 0

    def rate(self, step: int, scheduled: float) -> float:  # noqa: ARG002
        """The schedule, shortened so that it ends where averaging begins; then cycles (equation 1 of the paper).

        After the warm-up its shape is stretched between the optimizer's rate and that of averaging, without a jump.
        """
        train, options = self._train, self._options
        lowest = rate_factor(train.schedule, self._first, self._first)
        high = options.lr or train.optimizer.lr * lowest
        if step < self._first:
            factor = rate_factor(train.schedule, step, self._first)
            if step < train.schedule.warmup_steps or lowest == 1:
                return train.optimizer.lr * factor
            return high + (train.optimizer.lr - high) * (factor - lowest) / (1 - lowest)
        low = options.lr_end or high
        done = ((step - self._first) % self._cycle + 1) / self._cycle
        return (1 - done) * high + done * low

    @torch.no_grad()
    def observe(self, step: int, weights: Weights, buffers: Weights) -> None:  # noqa: ARG002
        """Take the weights at the end of a cycle into the average."""
        if step < self._first or (step + 1 - self._first) % self._cycle:
            return
        self._count += 1
        if self._count == 1:
            self._average = {name: tensor.detach().clone() for name, tensor in weights.items()}
        for name, tensor in self._average.items():
            tensor.lerp_(weights[name], 1 / self._count)

    def variants(self) -> dict[str, Outcome]:
        """`average`, with batch norm's statistics of its own."""
        settings = (self._data, self._train.batch_size, self._train.precision)
        buffers = batch_norm.recomputed(self._network, self._average, self._buffers, *settings, frozen=self._frozen)
        weights = {name: tensor.unsqueeze(1) for name, tensor in {**self._average, **buffers}.items()}
        cost = Cost(forward_samples=batch_norm.examples_seen(self._network, self._data, self._frozen))
        return {"average": Outcome(weights, prior_cost=cost)}

    def record(self) -> dict[str, Any]:
        """How many networks the average is of, and from which step on."""
        return {"averaged": self._count, "averaged_from_step": self._first + self._cycle}
