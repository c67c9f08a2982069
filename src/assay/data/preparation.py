"""From data/raw to data/prepared: verify, split off the validation set, measure mean and standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.data import raw
from assay.data.sets import prepared
from assay.data.sets.catalog import check_validation
from assay.data.sets.images import Images
from assay.data.sets.prepared import Prepared, Split
from assay.foundation.runtime import generator

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import UInt8

    from assay.config import Data

_IMAGES_AT_ONCE = 1024


def prepare(source: Path, data: Data, out: Path) -> None:
    """Write data/prepared: train, validation and test as tensors, and what a reader must know of them.

    The validation set is the first `data.validation` of a permutation of the training set that depends on
    `data.split_seed` alone; within the splits, examples keep their published order.

    Args:
        source: data/raw; every file of it is verified again.
        data: which data set, how much of it is held out, and how training augments it.
        out: data/prepared.

    Raises:
        AssayError: a raw file is missing or altered, or the validation set is not smaller than the training set.
    """
    content = raw.read(source, data)
    images, labels = content.train
    check_validation(data, len(labels))
    order = torch.randperm(len(labels), generator=generator(data.split_seed, "validation split")).numpy()
    held_out, kept = np.sort(order[: data.validation]), np.sort(order[data.validation :])
    _, channels, height, width = images.shape
    mean, std = moments(images[kept])
    prepared.write(
        out,
        Prepared(
            name=data.name,
            images=Images(channels, height, width, len(content.class_names)),
            class_names=content.class_names,
            mean=mean,
            std=std,
            augment=data.augment,
            digest="",
            train=Split(torch.from_numpy(images[kept]), torch.from_numpy(labels[kept])),
            validation=Split(torch.from_numpy(images[held_out]), torch.from_numpy(labels[held_out])),
            test=Split(*map(torch.from_numpy, content.test)),
        ),
    )


def moments(images: UInt8[np.ndarray, "n c h w"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, on the scale of the pixels (0 to 255), rounded to 6 digits.

    Both come from a count of each pixel value, so they are exact, whatever the machine. The standard deviation of a
    channel that never changes is given as 1, so that it can be divided by.
    """
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        for channel, count in enumerate(counts):
            count += np.bincount(images[start : start + _IMAGES_AT_ONCE, channel].ravel(), minlength=256)
    values = range(256)
    means, deviations = [], []
    for row in counts.tolist():
        pixels = sum(row)
        first = sum(count * value for count, value in zip(row, values, strict=True))
        second = sum(count * value**2 for count, value in zip(row, values, strict=True))
        variance = (pixels * second - first**2) / pixels**2
        means.append(round(first / pixels, 6))
        deviations.append(round(variance**0.5, 6) or 1.0)
    return tuple(means), tuple(deviations)
