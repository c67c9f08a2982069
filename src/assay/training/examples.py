"""From positions in the training set to what a network is fed: gathered, augmented and normalised on the device."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from assay.data.prepared.augment import augment, normalise
from assay.runtime import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.data.prepared import Prepared

KEPT_BYTES = 2**28  # MNIST's training images as float32 are 165 MiB; CIFAR-10's would be 527


class Examples:
    """The training images of a stack; normalised once where nothing else is done to them and they fit.

    Args:
        data: the prepared data, on the device.
        seeds: one for each copy; they decide its augmentation.
    """

    def __init__(self, data: Prepared, seeds: Sequence[int]) -> None:
        self._data, self._seeds = data, tuple(seeds)
        fits = 4 * data.train.images.numel() <= KEPT_BYTES  # bytes as float32
        self._inputs = _normalised(data) if data.augment == "none" and fits else None

    def batch(self, indices: Int64[Tensor, "copy batch"], step: int | None) -> Float[Tensor, "copy batch c h w"]:
        """The images at these positions of the training set.

        Args:
            indices: for each copy.
            step: what augmentation depends on, besides the seed; None leaves it out.
        """
        if self._inputs is not None:
            return self._inputs.index_select(0, indices.flatten()).view(*indices.shape, *self._inputs.shape[1:])
        images = self._data.train.images.index_select(0, indices.flatten())
        if step is not None and self._data.augment != "none":
            generators = [generator(seed, "augmentation", step) for seed in self._seeds]
            images = augment(images, self._data.augment, generators)
        inputs = normalise(images, self._data.mean, self._data.std)
        return inputs.view(*indices.shape, *inputs.shape[1:])


@lru_cache(maxsize=1)
def _normalised(data: Prepared) -> Float[Tensor, "example c h w"]:
    """All training images as a network is fed them, the same tensor for every stack of a process."""
    return normalise(data.train.images, data.mean, data.std)
