"""From data/raw to data/prepared: verify, hold out what is not trained on, measure mean and standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.core.config.sections import FOLDER
from assay.data import catalog, raw, splits
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.data.sets.prepared import Prepared, Split

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import UInt8

    from assay.core.config import Data


def prepare(source: Path, data: Data, out: Path) -> None:
    """Read `source` (data/raw), every file verified again; write train, validation and test as tensors into `out`.

    Images keep their published order. Validation and test set are the data set's own, or by `splits.choose` a
    part of the training set.

    Raises:
        AssayError: a raw file is missing or altered, or what is held out would leave a class nothing to train on.
    """
    catalog.check(data)
    content = raw.read(source, data)
    images, labels = content.train
    chosen = splits.choose(labels, data, content.class_names, content.groups)
    own = {"train": None, "validation": content.validation, "test": content.test}
    parts = {split: part or (images[chosen[split]], labels[chosen[split]]) for split, part in own.items()}
    mean, std = moments(parts["train"][0])
    if data.name == FOLDER:
        print(splits.told({split: len(part[1]) for split, part in parts.items()}))
    _, channels, height, width = images.shape
    of_image = Images(channels, height, width, len(content.class_names))
    about = (data.name, of_image, content.class_names, mean, std, data.augment)
    train, validation, test = (Split(*map(torch.from_numpy, part)) for part in parts.values())
    prepared.write(out, Prepared(*about, "", train, validation, test, data.fit))


def moments(images: UInt8[np.ndarray, "n c h w"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, on the scale of the pixels (0 to 255), rounded to 6 digits.

    Both come from a count of each pixel value, so they are exact, whatever the machine. The standard deviation of a
    constant channel is given as 1, so that it can be divided by.
    """
    means, deviations = [], []
    for channel in images.swapaxes(0, 1):
        parts = np.array_split(channel, len(channel) // 1024 + 1)  # a copy of all pixels as integers would be large
        counts = np.sum([np.bincount(part.ravel(), minlength=256) for part in parts], axis=0).tolist()
        pixels, first, second = (sum(n * value**power for value, n in enumerate(counts)) for power in range(3))
        variance = (pixels * second - first**2) / pixels**2
        means.append(round(first / pixels, 6))
        deviations.append(round(variance**0.5, 6) or 1.0)
    return tuple(means), tuple(deviations)
