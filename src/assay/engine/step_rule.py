"""The fourth seam: how does a proposal become the next state? By a gradient step, unless a method says otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

from assay.core.config import PARAMS_FILE
from assay.core.runtime import key
from assay.engine.batches import BatchLoader, Seam
from assay.engine.checkpoint import Stateful
from assay.engine.optim import Optimizer, check_warm_up, rate_factor
from assay.engine.parametrisation import Averaging, Outcome, Parametrisation, Swept
from assay.engine.stack import BatchStats, Stack, Weights
from assay.engine.stack.loss import Loss, cross_entropy
from assay.models.artifact import Cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor, nn

    from assay.core.config import Train
    from assay.data.sets.prepared import Prepared
    from assay.engine.batches import Batches

KINDS = ("train_samples", "forward_samples", "optimizer_steps")


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
        data: the prepared data, on the device.
        train: the budget; its `steps` are the schedule's length, and may be fewer than those of the whole arm.
        seeds: one for each copy.
        network: the plain module.
        stored: what is trained, `(copy, *stored shape)`.
        buffers: of the networks that run, `(copy, *shape)`.
        batches, parametrisation, averaging, loss: the other seams.

    Raises:
        AssayError: the schedule still warms up when the steps are over.
    """

    kept = ("stored", "buffers", "optimizer", "counters", "batches", "averaging")

    def __init__(
        self,
        data: Prepared,
        train: Train,
        seeds: Sequence[int],
        network: nn.Module,
        stored: Weights,
        buffers: Weights,
        batches: Batches,
        parametrisation: Parametrisation | None = None,
        averaging: Averaging | None = None,
        loss: Loss = cross_entropy,
    ) -> None:
        device = data.train.images.device
        check_warm_up(train.schedule, train.steps, f"{PARAMS_FILE}: train.schedule: a training by gradient")
        self.train, self.seeds, self.network = train, tuple(seeds), network
        self.stored = {name: tensor.detach().clone() for name, tensor in stored.items()}
        self.buffers = {name: tensor.clone() for name, tensor in buffers.items()}
        self.batches, self.averaging = batches, averaging or Averaging()
        self.parametrisation = parametrisation or Parametrisation()
        self.stack = Stack(network, len(self.seeds), device, train.precision, loss=loss)
        self.loader = BatchLoader(data, seeds)
        self.counters = Counters(len(self.seeds), device)
        self.optimizer = Optimizer(train.optimizer, self.stored)

    def step(self, step: int) -> BatchStats:
        """One update of every copy."""
        first, length = self.batches.phase(step, self.train.steps)
        if step == first > 0:
            self.optimizer = Optimizer(self.train.optimizer, self.stored)
        scheduled = self.train.optimizer.lr * rate_factor(self.train.schedule, step - first, length)
        batch = self.batches.draw(step, self._score)
        weights = self.parametrisation.weights(self.stored, step)
        gradients = self.stack.gradients(
            weights,
            self.buffers,
            self.loader.batch(batch.indices, step),
            batch.labels,
            self.batches.weigh if self.batches.weighs else None,
            [key(seed, "layers", step) for seed in self.seeds] if self.stack.draws else None,
        )
        carried = self.parametrisation.gradients(self.stored, weights, gradients.by_name, step)
        self.optimizer.step(carried, self.averaging.rate(step, scheduled))
        self.counters.add("train_samples", gradients.used)
        if self.batches.weighs:
            self.counters.add("forward_samples", batch.labels.shape[1] - gradients.used)
        self.counters.add("optimizer_steps", 1)
        self.batches.observe(step, batch, gradients.losses)
        self.averaging.observe(step, self.stored, self.buffers)
        return gradients

    def _score(
        self, indices: Int64[Tensor, "copy examples"], labels: Int64[Tensor, "copy examples"]
    ) -> Float[Tensor, "copy examples"]:
        """Losses under the weights of now, in eval mode and without augmentation; billed as forward samples."""
        self.network.eval()
        weights = self.evaluated()
        size, losses = self.train.batch_size, []
        with torch.no_grad():
            for part, own in zip(indices.split(size, 1), labels.split(size, 1), strict=True):
                losses.append(self.stack.loss(self.stack.forward(weights, self.loader.batch(part, None)), own))
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
