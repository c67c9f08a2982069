"""The first seam: which examples does each copy see next, and with which labels?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.data.sets.augment import normalise
from assay.data.sets.transforms import Augmentation
from assay.engine.checkpoint import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Float, Int64, UInt8
    from torch import Tensor

    from assay.core.config import Augment
    from assay.data.sets.prepared import Prepared, Split

    Order = Literal["reshuffled", "fixed"]
    Score = Callable[[Int64[Tensor, "copy example"], Int64[Tensor, "copy example"]], Float[Tensor, "copy example"]]


AHEAD = 2  # batches that are gathered while a step runs


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

    def ahead(self, step: int) -> tuple[Int64[Tensor, "copy batch"], Int64[Tensor, "copy batch"]] | None:  # noqa: ARG002
        """The tensor that `select` will give at a later step, itself and a copy on the CPU; None if not known yet.

        By it images that do not lie on the device are gathered while earlier steps run.
        """
        return None

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

    With `order` reshuffled, each epoch is permuted anew; `fixed` repeats the batches of the first. Where `labels` are
    those of a part of the training set, `positions` `(copy, example)` say which.
    """

    def __init__(
        self,
        labels: Tensor,
        seeds: Sequence[int],
        batch_size: int,
        order: Order = "reshuffled",
        positions: Int64[Tensor, "copy example"] | None = None,
    ) -> None:
        super().__init__(labels, seeds, batch_size)
        self.order, self.batches_per_epoch = order, self.examples // batch_size
        self._positions = None if positions is None else positions.cpu()
        self._epochs: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}  # its batches, and them on the CPU

    def select(self, step: int, score: Score) -> Int64[Tensor, "copy batch"]:  # noqa: ARG002
        """A part of the epoch's permutation: a function of the step, so a resumed run needs no state."""
        return self.ahead(step)[0]

    def ahead(self, step: int) -> tuple[Int64[Tensor, "copy batch"], Int64[Tensor, "copy batch"]]:
        """Known of every step; the batches of two epochs are kept."""
        epoch, position = divmod(step, self.batches_per_epoch)
        epoch = 0 if self.order == "fixed" else epoch
        if epoch not in self._epochs:
            order = orders(self.examples, self.seeds, epoch)[:, : self.batches_per_epoch * self.batch_size]
            order = order if self._positions is None else self._positions.gather(1, order)
            parts = order.view(len(self.seeds), self.batches_per_epoch, self.batch_size).transpose(0, 1)
            parts = parts.contiguous()  # each lies together in memory, where a slice of the order would be all over it
            before = {known: batches for known, batches in self._epochs.items() if known == epoch - 1}
            self._epochs = {**before, epoch: (parts.to(self.device).unbind(), parts.unbind())}
        batches, on_cpu = self._epochs[epoch]
        return batches[position], on_cpu[position]


class BatchLoader:
    """From positions in the training set to what a network is fed: gathered, augmented as by seed, normalised.

    Where images do not lie on the device, the next of the `batches` are gathered while a step runs.

    Args:
        data: the training set.
        seeds: one for each copy.
        batches: what chooses the positions.
        augment: what augmentation does.
    """

    def __init__(self, data: Prepared, seeds: Sequence[int], batches: Batches, augment: Augment) -> None:
        self._data, self._seeds = data, tuple(seeds)
        self._augmented = Augmentation(augment, data.images)
        self._gatherer = None if data.in_memory else Gatherer(data.train, batches)

    def batch(self, indices: Int64[Tensor, "copy batch"], step: int | None) -> Float[Tensor, "copy batch c h w"]:
        """The images at these positions; what augmentation draws depends on the step, and None leaves it out."""
        if self._gatherer is None or step is None:
            images = self._data.train.at(indices)
        else:
            images = self._gatherer.of_step(indices, step)
        if step is not None:
            images = self._augmented(images, self._seeds, step)
        return self._normalised(images, indices)

    def plain(self, indices: Int64[Tensor, "copy example"], size: int) -> Iterator[Float[Tensor, "copy batch c h w"]]:
        """The images at these positions, not augmented, so many of each copy at a time."""
        parts, gatherer = indices.split(size, 1), self._gatherer
        batches = gatherer.in_turn(indices, size) if gatherer else map(self._data.train.at, parts)
        for images, part in zip(batches, parts, strict=True):
            yield self._normalised(images, part)

    def _normalised(self, images: Tensor, indices: Tensor) -> Float[Tensor, "copy batch c h w"]:
        inputs = normalise(images, self._data.mean, self._data.std)
        return inputs.view(*indices.shape, *inputs.shape[1:])


@dataclass
class _Coming:
    """A batch on its way from the host to the device."""

    indices: Tensor  # those that `Batches.select` gives
    gathered: Future[Tensor]
    images: Tensor | None = None  # on the device, once `copied` has happened there
    copied: torch.cuda.Event | None = None


class Gatherer:
    """Gathers the batches of the next steps from images on the host, and copies them to the device, during a step.

    Threads copy rows from the mapped file into memory that a GPU can read by itself. Only the thread that trains calls
    the device: others must not while a CUDA graph is recorded.
    """

    def __init__(self, split: Split, batches: Batches) -> None:
        self._split, self._batches, self._device = split, batches, split.labels.device
        self._rows = split.images.numpy()
        self._threads = ThreadPoolExecutor(AHEAD, "gather")
        self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._coming: dict[int, _Coming] = {}  # by step

    def of_step(self, indices: Int64[Tensor, "copy batch"], step: int) -> UInt8[Tensor, "copy*batch c h w"]:
        """The images of a step, on the device; those of the steps after it are set going."""
        own = self._coming.get(step)
        if own is not None and own.indices is not indices:  # a method chose otherwise than `ahead` said
            own = None
        images = self._split.at(indices) if own is None else self._arrived(own)
        self._coming = {later: coming for later, coming in self._coming.items() if later > step}
        if own is not None:
            self._coming[step] = own  # for a second pass over the same batch
        for later in range(step + 1, step + 1 + AHEAD):
            if later not in self._coming and (known := self._batches.ahead(later)) is not None:
                self._coming[later] = self._start(*known)
            elif later in self._coming and self._coming[later].gathered.done():
                self._copy(self._coming[later])
        return images

    def in_turn(self, indices: Int64[Tensor, "copy example"], size: int) -> Iterator[UInt8[Tensor, "copy*batch c h w"]]:
        """The images at these positions, so many of each copy at a time, gathered while earlier ones are worked on."""
        parts = list(zip(indices.split(size, 1), indices.cpu().split(size, 1), strict=True))
        coming = deque(self._start(*part) for part in parts[:AHEAD])
        for number in range(len(parts)):
            yield self._arrived(coming.popleft())
            coming.extend(self._start(*part) for part in parts[number + AHEAD : number + AHEAD + 1])

    def _start(self, indices: Tensor, on_cpu: Int64[Tensor, "copy batch"]) -> _Coming:
        positions = on_cpu.flatten().numpy()
        shape = len(positions), *self._rows.shape[1:]
        target = torch.empty(shape, dtype=torch.uint8, pin_memory=self._stream is not None)

        def gather() -> Tensor:
            np.take(self._rows, positions, axis=0, out=target.numpy(), mode="clip")  # "raise" would need a buffer
            return target

        return _Coming(indices, self._threads.submit(gather))

    def _copy(self, coming: _Coming) -> Tensor:
        """Begin the copy to the device, beside what runs there, unless it has begun."""
        if coming.images is None:
            coming.images = coming.gathered.result()
            if self._stream is not None:
                with torch.cuda.stream(self._stream):
                    coming.images = coming.images.to(self._device, non_blocking=True)
                    coming.copied = self._stream.record_event()
        return coming.images

    def _arrived(self, coming: _Coming) -> Tensor:
        """The batch on the device; what runs there from now on waits for the copy, not this thread."""
        images = self._copy(coming)
        if coming.copied is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(coming.copied)
            images.record_stream(current)  # its memory is not given away before this stream is done with it
        return images
