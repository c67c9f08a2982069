"""From positions in the training set to what a network is fed: gathered, augmented and normalised on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.runtime import generator
from assay.data.sets.augment import augment, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.data.sets.prepared import Prepared


class BatchLoader:
    """The training images of a stack.

    Args:
        data: the prepared data, on the device.
        seeds: one for each copy; they decide its augmentation.
    """

    def __init__(self, data: Prepared, seeds: Sequence[int]) -> None:
        self._data, self._seeds = data, tuple(seeds)

    def batch(self, indices: Int64[Tensor, "copy batch"], step: int | None) -> Float[Tensor, "copy batch c h w"]:
        """The images at these positions of the training set.

        Args:
            indices: for each copy.
            step: what augmentation depends on, besides the seed; None leaves it out.
        """
        images = self._data.train.images.index_select(0, indices.flatten())
        if step is not None and self._data.augment != "none":
            generators = [generator(seed, "augmentation", step) for seed in self._seeds]
            images = augment(images, self._data.augment, generators)
        inputs = normalise(images, self._data.mean, self._data.std)
        return inputs.view(*indices.shape, *inputs.shape[1:])
