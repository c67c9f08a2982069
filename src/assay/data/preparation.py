"""From data/raw to data/prepared: verify, hold out what is not trained on, measure mean and standard deviation."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.core.config.sections import FOLDER
from assay.data import catalog, raw, splits
from assay.data.progress import Progress
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.data.sets.prepared import Prepared, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from jaxtyping import Int64, UInt8

    from assay.core.config import Data
    from assay.data.raw import IdxImages

PART = 2**22  # bytes of images in memory at once


def prepare(source: Path, data: Data, out: Path) -> None:
    """Read `source` (data/raw), every file verified again; write train, validation and test as tensors into `out`.

    Images keep their published order. Validation and test set are the data set's own, or by `splits.choose` a
    part of the training set. Images pass through memory a part at a time, once to be measured and once to be written.

    Raises:
        AssayError: a raw file is missing or altered, or what is held out would leave a class nothing to train on.
    """
    catalog.check(data)
    content = raw.read(source, data)
    images, labels = content.train
    chosen = splits.choose(labels, data, content.class_names, content.groups)
    own = {"train": None, "validation": content.validation, "test": content.test}
    sources = {
        split: (whole, np.arange(len(whole[1]))) if whole else (content.train, chosen[split])
        for split, whole in own.items()
    }
    if data.name == FOLDER:
        print(splits.told({split: len(at) for split, (_, at) in sources.items()}))
    _, channels, height, width = images.shape
    none = torch.empty((0, channels, height, width), dtype=torch.uint8)
    empty = [Split(none, torch.from_numpy(own[at])) for (_, own), at in sources.values()]  # but for the labels
    of_image = Images(channels, height, width, len(content.class_names))
    with closing(
        Progress("preparing images", len(chosen["train"]) + sum(len(at) for _, at in sources.values()), "images")
    ) as bar:
        mean, std = moments(_parts(images, chosen["train"], bar))
        parts = {name: _parts(whole, at, bar) for name, ((whole, _), at) in sources.items()}
        about = (data.name, of_image, content.class_names, mean, std, data.augment)
        prepared.write(out, Prepared(*about, "", *empty, fit=data.fit), parts)


def _parts(
    images: UInt8[np.ndarray, "n c h w"] | IdxImages, positions: Int64[np.ndarray, " m"], bar: Progress
) -> Iterator[UInt8[np.ndarray, "part c h w"]]:
    """The images at these positions, as many at a time as have `PART` bytes."""
    rows = max(1, PART // math.prod(images.shape[1:]))
    for start in range(0, len(positions), rows):
        part = positions[start : start + rows]
        yield images[part]
        bar.update(len(part))


def moments(parts: Iterable[UInt8[np.ndarray, "n c h w"]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, on the scale of the pixels (0 to 255), rounded to 6 digits.

    The images come in one part or several. Both figures come from a count of each pixel value, so they are exact,
    whatever the machine. The standard deviation of a constant channel is given as 1, so that it can be divided by.
    """
    means, deviations = [], []
    counted = (
        np.stack([np.bincount(channel.ravel(), minlength=256) for channel in part.swapaxes(0, 1)]) for part in parts
    )
    for counts in sum(counted, np.zeros(256, dtype=np.int64)).tolist():
        pixels, first, second = (sum(n * value**power for value, n in enumerate(counts)) for power in range(3))
        variance = (pixels * second - first**2) / pixels**2
        means.append(round(first / pixels, 6))
        deviations.append(round(variance**0.5, 6) or 1.0)
    return tuple(means), tuple(deviations)
