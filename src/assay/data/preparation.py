"""From data/raw to data/prepared: verify, split off the validation set, measure mean and standard deviation."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.core.config import PARAMS_FILE
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.data import catalog, raw
from assay.data.progress import Progress
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.data.sets.prepared import Prepared, Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Int64, UInt8

    from assay.core.config import Data
    from assay.data.raw import IdxImages

PART = 2**22  # bytes of images in memory at once


def prepare(source: Path, data: Data, out: Path) -> None:
    """Read `source` (data/raw), every file verified again; write train, validation and test as tensors into `out`.

    Images keep their published order. The validation set is the data set's own, or `held_out` of the training set.
    Images pass through memory a part at a time, once to be measured and once to be written.

    Raises:
        AssayError: a raw file is missing or altered, or the validation set would leave a class nothing to train on.
    """
    catalog.check(data)
    content = raw.read(source, data)
    images, labels = content.train
    chosen = held_out(labels, data, content.class_names)
    kept = np.setdiff1d(np.arange(len(labels)), chosen)
    splits = {"train": (content.train, kept), "validation": (content.train, chosen)}
    for name, whole in (("validation", content.validation), ("test", content.test)):
        if whole is not None:
            splits[name] = whole, np.arange(len(whole[1]))
    _, channels, height, width = images.shape
    none = torch.empty((0, channels, height, width), dtype=torch.uint8)
    empty = [Split(none, torch.from_numpy(own[at])) for (_, own), at in splits.values()]  # but for the labels
    of_image = Images(channels, height, width, len(content.class_names))
    with closing(Progress("preparing images", len(kept) + sum(len(at) for _, at in splits.values()), "images")) as bar:
        mean, std = moments(_parts(images, kept, bar))
        parts = {name: _parts(own, at, bar) for name, ((own, _), at) in splits.items()}
        about = (data.name, of_image, content.class_names, mean, std, data.augment)
        prepared.write(out, Prepared(*about, "", *empty), parts)


def _parts(
    images: UInt8[np.ndarray, "n c h w"] | IdxImages, positions: Int64[np.ndarray, " m"], bar: Progress
) -> Iterator[UInt8[np.ndarray, "part c h w"]]:
    """The images at these positions, as many at a time as have `PART` bytes."""
    rows = max(1, PART // math.prod(images.shape[1:]))
    for start in range(0, len(positions), rows):
        part = positions[start : start + rows]
        yield images[part]
        bar.update(len(part))


def held_out(labels: Int64[np.ndarray, " n"], data: Data, class_names: Sequence[str]) -> Int64[np.ndarray, " v"]:
    """Choose the validation set, stratified by class.

    `data.validation` is divided among the classes in proportion to their training images, by largest remainders (of
    equal ones, the lower label first), with at least one image left to train on. Which images of a class are taken
    depends on `data.split_seed` and on the class's label and size alone. Gives their positions, sorted.

    Raises:
        AssayError: so many cannot be held out.
    """
    catalog.check(data, len(labels))
    sizes = np.bincount(labels, minlength=len(class_names))
    most = np.maximum(sizes - 1, 0)
    if data.validation > most.sum():
        smallest = f"the smallest, {class_names[int(sizes.argmin())]}, has {sizes.min()}"
        reason = f"each of the {len(sizes)} classes keeps one to train on ({smallest})"
        limit = f"at most {most.sum()} of the {len(labels)} training images can be held out, as {reason}"
        raise AssayError(f"{PARAMS_FILE}: data.validation: got {data.validation}; {limit}")
    shares, remainders = np.divmod(sizes * data.validation, len(labels))
    by_remainder = np.argsort(-remainders, kind="stable").tolist()
    while missing := data.validation - int(shares.sum()):  # a second time only where a class has none to spare
        shares[[label for label in by_remainder if shares[label] < most[label]][:missing]] += 1
    without = [f"{name} ({size})" for name, size, share in zip(class_names, sizes, shares, strict=True) if not share]
    if data.validation and without:
        said = "these classes are too small for a validation image (training images)"
        named = ", ".join(without[:20]) + ", ..." * (len(without) > 20)
        print(f"data.validation: {data.validation}: {said}: {named}")
    chosen = []
    for label, (size, share) in enumerate(zip(sizes.tolist(), shares.tolist(), strict=True)):
        order = torch.randperm(size, generator=generator(data.split_seed, "validation split", label)).numpy()
        chosen.append(np.flatnonzero(labels == label)[order[:share]])
    return np.sort(np.concatenate(chosen))


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
