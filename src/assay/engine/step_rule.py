"""The other seams: which weights run, what is kept beside the last ones, and the step, by gradients or otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from assay.core.runtime import key
from assay.engine.batches import Batches, BatchLoader, Seam
from assay.engine.checkpoint import Stateful
from assay.engine.optim import Optimizer, rate_factor
from assay.engine.stack import BatchStats, Gradients, Stack, Weights
from assay.engine.stack.loss import Loss, cross_entropy
from assay.models.artifact import Cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor, nn

    from assay.engine.context import TrainContext
    from assay.models.artifact import Combine, Sweep

KINDS = ("train_samples", "forward_samples", "optimizer_steps")


@dataclass(frozen=True)
class Outcome:
    """One variant as training leaves it."""

    weights: Weights  # parameters and buffers, `(seed, member, *shape)`
    combine: Combine = "mean_probability"  # how its members are combined
    density: float = 1.0  # the share of weights that is not pruned
    copies: int = 1  # of the stack that it took to train one seed's members; its cost is theirs
    masks: Weights | None = None  # 0 or 1 for each pruned parameter, `(seed, member, *shape)`
    prior_cost: Cost = field(default_factory=Cost)  # beside this training: earlier ones, a pass for batch norm


@dataclass(frozen=True)
class Swept:
    """A path of networks as training leaves it, to be evaluated point by point."""

    sweep: Sweep  # where its points are, and what they are made of
    buffers: Weights  # of the networks at its points, `(seed, point, *shape)`
    points: Weights | None = None  # what is combined, `(seed, network, *shape)`, unless a variant holds it


class Parametrisation:
    """What is stored, `(copy, *stored shape)`, is what runs, `(copy, *shape)`. Subspaces and masks override this."""

    def weights(self, stored: Weights, step: int) -> Weights:  # noqa: ARG002
        """The weights that run at a step."""
        return stored

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """The gradient of the loss and of what regularises it; `gradients`, of what ran, may be changed in place.

        Parameters that are frozen have none.
        """
        return gradients

    def evaluated(self, stored: Weights) -> Weights:
        """The weights whose validation loss the curves show; buffers among them take the place of those in training."""
        return stored

    def variants(self, stored: Weights, buffers: Weights) -> dict[str, Outcome]:
        """What is left at the end, by variant; the first is what the bare arm stands for."""
        return {"last": Outcome({name: tensor.unsqueeze(1) for name, tensor in {**stored, **buffers}.items()})}

    def sweeps(self, stored: Weights, buffers: Weights) -> dict[str, Swept]:  # noqa: ARG002
        """Paths of networks to evaluate point by point, by name."""
        return {}

    def record(self, stored: Weights) -> dict[str, Any]:  # noqa: ARG002
        """Entries for the manifest's record: JSON, the same in every rerun."""
        return {}


class Averaging(Seam):
    """Nothing is kept. Stochastic weight averaging overrides this."""

    def rate(self, step: int, scheduled: float) -> float:  # noqa: ARG002
        """The learning rate of a step, where averaging asks for another than the schedule's."""
        return scheduled

    def observe(self, step: int, weights: Weights, buffers: Weights) -> None:
        """See the stored weights after the update of a step; they are overwritten by the next one."""

    def variants(self) -> dict[str, Outcome]:
        """What was kept, by variant; it comes before the last weights, since it is what the arm is for."""
        return {}


class Counters(Stateful):
    """What each copy was shown and how often it moved; kept on the device, so that counting never waits for it."""

    kept = ("_counts",)

    def __init__(self, copies: int, device: torch.device) -> None:
        self._counts = {kind: torch.zeros(copies, dtype=torch.int64, device=device) for kind in KINDS}

    def add(self, kind: str, amount: int | Int64[Tensor, " copy"]) -> None:
        """Add an amount, the same for all copies or one for each."""
        self._counts[kind] += amount

    def of(self, kind: str) -> Int64[Tensor, " copy"]:
        """The count of each copy."""
        return self._counts[kind].clone()

    def images(self) -> int:
        """Passes of an image through a network, of all copies."""
        return int((self._counts["train_samples"] + self._counts["forward_samples"]).sum())

    def cost(self, members: int = 1) -> Cost:
        """The mean over copies, times the members that make up one prediction."""
        totals = {kind: (members * int(count.sum()), len(count)) for kind, count in self._counts.items()}
        return Cost(**{kind: total / n if total % n else total // n for kind, (total, n) in totals.items()})


class StepRule(Seam, ABC):
    """The state of a training and the rule that moves it.

    Attributes:
        network: the plain module that all copies share.
        counters: what each copy has cost so far.
        curve_names: the networks that each seed trains side by side and whose curves are told apart, by the variant
            that comes of them; the empty name stands for the arm itself. Copies stand in this order, seeds within.
        first_step: the step that training begins with, above 0 where the weights come from later than the start.
    """

    network: nn.Module
    counters: Counters
    curve_names: tuple[str, ...] = ("",)
    first_step: int = 0

    @abstractmethod
    def step(self, step: int) -> BatchStats:
        """Move every copy once; gives what it saw before it moved, of each example or as means of mini-batches."""

    @abstractmethod
    def evaluated(self) -> Weights:
        """Parameters and buffers `(copy, *shape)` whose validation loss the curves show."""

    @abstractmethod
    def variants(self) -> dict[str, Outcome]:
        """What the training leaves, by variant; the first is what the bare arm stands for."""

    def sweeps(self) -> dict[str, Swept]:
        """Paths of networks to evaluate point by point, by name."""
        return {}


class GradientUpdate(StepRule):
    """Draw a batch, run the weights, step down the gradient.

    Args:
        context: the training; its `steps` are the schedule's length, more than the warm-up (`check_warm_up`).
        batches, parametrisation, averaging, loss: the other seams.
        seeds: one for each copy; those of the arm unless given.
        start: the plain module, what is trained `(copy, *stored shape)`, and the buffers of the networks that run
            `(copy, *shape)`; fresh networks unless given.
    """

    kept: tuple[str, ...] = ("stored", "buffers", "optimizer", "counters", "batches", "averaging")

    def __init__(
        self,
        context: TrainContext,
        batches: Batches,
        parametrisation: Parametrisation | None = None,
        averaging: Averaging | None = None,
        loss: Loss = cross_entropy,
        seeds: Sequence[int] | None = None,
        start: tuple[nn.Module, Weights, Weights] | None = None,
    ) -> None:
        self.train, self.seeds = context.run.train, tuple(seeds or context.run.seeds)
        self.network, stored, buffers = start or context.fresh(self.seeds)
        self.stored = {name: tensor.detach().clone() for name, tensor in stored.items()}
        self.buffers = {name: tensor.clone() for name, tensor in buffers.items()}
        self.batches, self.averaging = batches, averaging or Averaging()
        self._weigh = None if type(batches).weigh is Batches.weigh else batches.weigh  # the mean needs no coefficients
        self.parametrisation = parametrisation or Parametrisation()
        copies, self._rules = len(self.seeds), context.rules
        self.stack = Stack(self.network, copies, context.device, self.train.precision, loss=loss, frozen=context.frozen)
        self.loader = BatchLoader(context.data, self.seeds, batches, context.augment)
        self.counters = Counters(copies, context.device)
        self.optimizer = Optimizer(self.train.optimizer, self.stored, self._rules)

    def step(self, step: int) -> BatchStats:
        """One update of every copy."""
        first, length = self.batches.phase(step, self.train.steps)
        if step == first > 0:
            self.optimizer = Optimizer(self.train.optimizer, self.stored, self._rules)
        scheduled = self.train.optimizer.lr * rate_factor(self.train.schedule, step - first, length)
        indices = self.batches.select(step, self._score)
        weights = self.parametrisation.weights(self.stored, step)
        gradients = self.gradients(weights, indices, step)
        carried = self.parametrisation.gradients(self.stored, weights, gradients.by_name, step)
        self.optimizer.step(carried, self.averaging.rate(step, scheduled))
        self.counters.add("optimizer_steps", 1)
        self.batches.observe(step, indices, gradients.losses)
        self.averaging.observe(step, self.stored, self.buffers)
        return gradients

    def gradients(self, weights: Weights, indices: Int64[Tensor, "copy batch"], step: int) -> Gradients:
        """What a step goes by: one pass through the weights that run, with the batch that each copy drew; it is billed.

        Called again at the same step it draws the same pixels and the same random numbers. A method that takes several
        passes a step, as sharpness-aware minimization does, overrides this; a pass may write over the gradients of the
        one before.
        """
        inputs, labels = self.inputs_and_labels(indices, step)
        randomness = [key(seed, "layers", step) for seed in self.seeds] if self.stack.draws else None
        found = self.stack.gradients(weights, self.buffers, inputs, labels, self._weigh, randomness)
        self.counters.add("train_samples", found.used)
        if self._weigh:
            self.counters.add("forward_samples", indices.shape[1] - found.used)
        return found

    def inputs_and_labels(
        self, indices: Int64[Tensor, "copy batch"], step: int
    ) -> tuple[Float[Tensor, "copy batch c h w"], Int64[Tensor, "copy batch"] | Float[Tensor, "copy batch class"]]:
        """What a step shows to each copy: augmented and normalised images, and their classes or class probabilities."""
        return self.loader.batch(indices, step), self.batches.labels(indices)

    def _score(
        self, indices: Int64[Tensor, "copy examples"], labels: Int64[Tensor, "copy examples"]
    ) -> Float[Tensor, "copy examples"]:
        """Losses in eval mode and without augmentation, billed as forward samples."""
        self.network.eval()
        weights = self.evaluated()
        size, losses = self.train.batch_size, []
        with torch.no_grad():
            for inputs, own in zip(self.loader.plain(indices, size), labels.split(size, 1), strict=True):
                losses.append(self.stack.loss(self.stack.forward(weights, inputs), own))
        self.counters.add("forward_samples", indices.shape[1])
        return torch.cat(losses, 1)

    def evaluated(self) -> Weights:
        """The weights of now, with their buffers."""
        return {**self.buffers, **self.parametrisation.evaluated(self.stored)}

    def variants(self) -> dict[str, Outcome]:
        """What the averaging and the parametrisation leave."""
        return {**self.averaging.variants(), **self.parametrisation.variants(self.stored, self.buffers)}

    def sweeps(self) -> dict[str, Swept]:
        """What the parametrisation leaves."""
        return self.parametrisation.sweeps(self.stored, self.buffers)

    def record(self) -> dict[str, Any]:
        """What the seams have to say."""
        return {**self.batches.record(), **self.parametrisation.record(self.stored), **self.averaging.record()}
