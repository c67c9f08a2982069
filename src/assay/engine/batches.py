"""The first seam: which examples does each copy see next, and with which labels?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

import torch

from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.data.sets.augment import normalise
from assay.data.sets.transforms import Augmentation
from assay.engine.checkpoint import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.core.config import Augment
    from assay.data.sets.prepared import Prepared

    Order = Literal["reshuffled", "fixed"]
    Score = Callable[[Int64[Tensor, "copy example"], Int64[Tensor, "copy example"]], Float[Tensor, "copy example"]]


class Seam(Stateful):
    """What fills a seam: it may keep something (`kept`), and have something to say in the manifest."""

    def record(self) -> dict[str, Any]:
        """Entries for the manifest's record: JSON, the same in every rerun."""
        return {}


class Batches(Seam, ABC):
    """Chooses batches. A method fills this seam by overriding `select` and, where it learns from losses, the rest.

    Args:
        labels: of the training set: one list for all copies, or one for each.
        seeds: one for each copy; what a copy sees depends on its own seed alone.
        batch_size: B.
    """

    def __init__(
        self, labels: Int64[Tensor, " example"] | Int64[Tensor, "copy example"], seeds: Sequence[int], batch_size: int
    ) -> None:
        self.seeds, self.batch_size = tuple(seeds), batch_size
        self.examples = labels.shape[-1]
        self.device = labels.device
        if batch_size > self.examples:
            raise AssayError(f"train.batch_size: {batch_size} is more than the {self.examples} training examples")
        self._labels, self._shared = labels.flatten(), labels.dim() == 1
        self._offsets = self.examples * torch.arange(len(self.seeds), device=self.device)[:, None]

    def phase(self, step: int, steps: int) -> tuple[int, int]:  # noqa: ARG002
        """The first step and the length of a step's phase, which has a schedule and an optimizer of its own."""
        return 0, steps

    def labels(self, indices: Int64[Tensor, "copy example"]) -> Int64[Tensor, "copy example"]:
        """The labels that each copy learns at these positions of the training set; they need not be the set's own."""
        positions = indices if self._shared else indices + self._offsets
        return self._labels.index_select(0, positions.flatten()).view_as(indices)

    @abstractmethod
    def select(self, step: int, score: Score) -> Int64[Tensor, "copy batch"]:
        """Each copy's batch for a step (from 0): positions in the training set.

        The losses that `score` gives are billed as forward samples.
        """

    def weigh(self, losses: Float[Tensor, "copy batch"], copies: slice) -> Float[Tensor, "copy batch"]:  # noqa: ARG002
        """Coefficients of the losses of these copies' examples, seen before the backward pass; here, for their mean."""
        return torch.full_like(losses, 1 / losses.shape[1])

    def observe(self, step: int, indices: Int64[Tensor, "copy batch"], losses: Float[Tensor, "copy batch"]) -> None:
        """See what the batch's examples lost, before the update that they made."""


def orders(examples: int, seeds: Sequence[int], epoch: int) -> Int64[Tensor, "copy example"]:
    """The order in which each copy meets the training set in an epoch, on the CPU: every position once."""
    return torch.stack([torch.randperm(examples, generator=generator(seed, "batches", epoch)) for seed in seeds])


class EpochBatches(Batches):
    """Every example once an epoch, in seeded batches; the last, incomplete batch of an epoch is left out.

    With `order` reshuffled, each epoch is permuted anew; `fixed` repeats the batches of the first.
    """

    def __init__(self, labels: Tensor, seeds: Sequence[int], batch_size: int, order: Order = "reshuffled") -> None:
        super().__init__(labels, seeds, batch_size)
        self.order, self.batches_per_epoch = order, self.examples // batch_size
        self._epoch: int | None = None
        self._batches: tuple[Int64[Tensor, "copy batch"], ...] = ()

    def select(self, step: int, score: Score) -> Int64[Tensor, "copy batch"]:  # noqa: ARG002
        """A part of the epoch's permutation: a function of the step, so a resumed run needs no state."""
        epoch, position = divmod(step, self.batches_per_epoch)
        epoch = 0 if self.order == "fixed" else epoch
        if epoch != self._epoch:
            order = orders(self.examples, self.seeds, epoch)[:, : self.batches_per_epoch * self.batch_size]
            parts = order.view(len(self.seeds), self.batches_per_epoch, self.batch_size).transpose(0, 1)
            # each lies together in memory, where a slice of the order would be all over it
            self._epoch, self._batches = epoch, parts.contiguous().to(self.device).unbind()
        return self._batches[position]


class BatchLoader:
    """From positions in the training set to what a network is fed: gathered, augmented as by seed, normalised.

    Args:
        data: the training set.
        seeds: one for each copy.
        augment: what augmentation does.
    """

    def __init__(self, data: Prepared, seeds: Sequence[int], augment: Augment) -> None:
        self._data, self._seeds = data, tuple(seeds)
        self._augmented = Augmentation(augment, data.images)

    def batch(self, indices: Int64[Tensor, "copy batch"], step: int | None) -> Float[Tensor, "copy batch c h w"]:
        """The images at these positions; what augmentation draws depends on the step, and None leaves it out."""
        images = self._data.train.images.index_select(0, indices.flatten())
        if step is not None:
            images = self._augmented(images, self._seeds, step)
        inputs = normalise(images, self._data.mean, self._data.std)
        return inputs.view(*indices.shape, *inputs.shape[1:])
