"""What training does to images and labels: random crops and flips, normalisation, label noise."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from assay.core.runtime import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64, UInt8
    from torch import Tensor

PADDING = 4
_OFFSETS = 2 * PADDING + 1


def normalise(
    images: UInt8[Tensor, "n c h w"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "n c h w"]:
    """Subtract the mean and divide by the standard deviation; float32 on the images' device.

    `mean` and `std` are per channel, on the scale of the pixels (0 to 255).
    """
    shift, scale = _per_channel(tuple(mean), images.device), _per_channel(tuple(std), images.device)
    inputs = images.to(torch.float32, copy=True)
    return inputs.sub_(shift).div_(scale)  # in place: a fresh tensor would cost another pass through memory


@lru_cache(maxsize=16)
def _per_channel(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "c 1 1"]:
    """Cached: a copy to a GPU would make every batch wait."""
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def augment(
    images: UInt8[Tensor, "copy*batch c h w"],
    kind: str,
    generators: Sequence[torch.Generator],
) -> UInt8[Tensor, "copy*batch c h w"]:
    """Crop each image at random after padding it with 4 zeros on each side, and mirror it with probability 1/2.

    The usual augmentation of small images (He et al. 2016, section 4.2); `crop` does not mirror, `none` leaves images
    alone. The batches of all copies stand one after the other in `images`; each has a generator, so that a copy draws
    the same in a stack as alone.

    Raises:
        ValueError: the images do not divide into as many batches as there are generators.
    """
    if kind == "none":
        return images
    count, channels, height, width = images.shape
    batch, rest = divmod(count, len(generators))
    if rest:
        raise ValueError(f"{count} images do not divide into {len(generators)} batches of equal size")
    choices = _OFFSETS**2 * (2 if kind == "crop_flip" else 1)
    drawn = torch.cat([torch.randint(choices, (batch,), generator=g, device=g.device) for g in generators])
    drawn = drawn.to(images.device)[:, None]
    top, left, mirrored = drawn % _OFFSETS, drawn // _OFFSETS % _OFFSETS, drawn // _OFFSETS**2 == 1
    row, column = (torch.arange(side, device=images.device) for side in (height, width))
    columns = left + torch.where(mirrored, width - 1 - column, column)
    sources = (top + row)[:, :, None] * (width + 2 * PADDING) + columns[:, None, :]
    padded = F.pad(images, (PADDING,) * 4).flatten(2)
    return padded.gather(2, sources.view(count, 1, -1).expand(-1, channels, -1)).view_as(images)


def noisy(labels: Int64[Tensor, " example"], share: float, classes: int, seed: int) -> Int64[Tensor, " example"]:
    """Give the first `int(share * n)` examples of a seeded permutation a class drawn uniformly, their own included.

    As in the authors' code of Wortsman et al., "Learning Neural Network Subspaces" (ICML 2021). The same examples are
    changed in every arm of a seed; a larger share changes those that a smaller one does, and more.
    """
    drawn = generator(seed, "label noise")
    changed = torch.randperm(len(labels), generator=drawn)[: int(share * len(labels))]
    random = torch.randint(classes, (len(labels),), generator=drawn)
    result = labels.cpu().clone()
    result[changed] = random[changed]
    return result.to(labels.device)
