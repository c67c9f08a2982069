"""Which of the training images are held out for validation, and as the test set where the source has none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from assay.core.config import PARAMS_FILE
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.data import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Int64

    from assay.core.config import Data

    Labels = Int64[np.ndarray, " n"]
    Positions = Int64[np.ndarray, " m"]

ORDERS, MOST_STEPS = 20, 20_000  # orders of the groups that are tried, and groups that are looked at in all of them
DISAGREEMENT = 0.1  # share of test images on which two arms are supposed to differ, one right and one wrong


def choose(
    labels: Labels, data: Data, class_names: Sequence[str], groups: Labels | None = None
) -> dict[str, Positions]:
    """Choose the test set (`data.test` images), then of the rest the validation set; what is left is trained on.

    Each is stratified by class: its number is divided among the classes in proportion to their images, by largest
    remainders (of equal ones, the lower label first), with at least one image of each left to train on. Which images of
    a class are taken depends on `data.split_seed`, the split, and the class's label and size alone.

    With `groups`, a number for each image, whole groups are taken, and the numbers are met as well as these allow: see
    `_whole_groups`.

    Gives the positions of the images of `train`, `validation` and `test`, sorted. Prints which classes a split lacks,
    and what sizes came of groups.

    Raises:
        AssayError: so many cannot be held out.
    """
    catalog.check(data, len(labels))
    rest, chosen = np.arange(len(labels)), {}
    for split, count in (("test", data.test), ("validation", data.validation)):
        key, own, of_groups = f"data.{split}: {count}", labels[rest], None if groups is None else groups[rest]
        if of_groups is not None and count:
            taken = _whole_groups(own, of_groups, count, data.split_seed, split, len(class_names))
            number = len(np.unique(of_groups[taken]))
            print(f"{key}: {len(taken)} images of {number} whole group{'s' * (number != 1)} are held out")
        else:
            taken = _images(own, count, data.split_seed, split, class_names)
        having, sizes = (np.bincount(one, minlength=len(class_names)).tolist() for one in (own[taken], own))
        without = [f"{name} ({n})" for name, n, there in zip(class_names, sizes, having, strict=True) if not there]
        if count and without:
            said = f"these classes are too small for a {split} image (training images)"
            print(f"{key}: {said}: {', '.join(without[:20])}{', ...' * (len(without) > 20)}")
        chosen[split], rest = rest[taken], np.delete(rest, taken)
    return {"train": rest, "validation": chosen["validation"], "test": chosen["test"]}


def _images(labels: Labels, count: int, seed: int, split: str, class_names: Sequence[str]) -> Positions:
    sizes = np.bincount(labels, minlength=len(class_names))
    most = np.maximum(sizes - 1, 0)
    if count > most.sum():
        smallest = f"the smallest, {class_names[int(sizes.argmin())]}, has {sizes.min()}"
        reason = f"each of the {len(sizes)} classes keeps one to train on ({smallest})"
        limit = f"at most {most.sum()} of the {len(labels)} training images can be held out, as {reason}"
        raise AssayError(f"{PARAMS_FILE}: data.{split}: got {count}; {limit}")
    shares, remainders = np.divmod(sizes * count, len(labels))
    by_remainder = np.argsort(-remainders, kind="stable").tolist()
    while missing := count - int(shares.sum()):  # a second time only where a class has none to spare
        shares[[label for label in by_remainder if shares[label] < most[label]][:missing]] += 1
    chosen = []
    for label, (size, share) in enumerate(zip(sizes.tolist(), shares.tolist(), strict=True)):
        order = torch.randperm(size, generator=generator(seed, f"{split} split", label)).numpy()
        chosen.append(np.flatnonzero(labels == label)[order[:share]])
    return np.sort(np.concatenate(chosen))


def _whole_groups(labels: Labels, groups: Labels, count: int, seed: int, split: str, classes: int) -> Positions:
    """Choose whole groups whose images are about `count`, with the classes in proportion.

    The groups are looked at in a random order. One is taken if that brings the numbers of images by class closer to
    their shares of `count`, by the sum of squared differences, and leaves each class an image to train on; then, in the
    same order, if it brings their number in all closer (where groups are large for a class's share). Of several such
    orders the one that ends closest, in its classes and in all, counts; of equal ones the first. (scikit-learn's
    StratifiedGroupKFold makes folds of equal size, not a set of a given size.)
    """
    names, own = np.unique(groups, return_inverse=True)
    table = np.zeros((len(names), classes), dtype=np.int64)  # number of images by group and class
    np.add.at(table, (own, labels), 1)
    sizes = table.sum(0)
    target = sizes * count / len(labels)
    closest, best = math.inf, np.zeros(0, dtype=np.int64)
    for order in range(max(1, min(ORDERS, MOST_STEPS // len(names)))):
        held, taken = np.zeros_like(sizes), set[int]()
        looked_at = torch.randperm(len(names), generator=generator(seed, f"{split} groups", order)).tolist()
        for by_class in (True, False):
            for group in looked_at:
                row, left = table[group], sizes - held
                closer = (2 * (held - target) + row) @ row < 0 if by_class else 2 * held.sum() + row.sum() < 2 * count
                if closer and group not in taken and ((row < left) | (row == 0)).all():
                    held += row
                    taken.add(group)
        distance = float(np.square(held - target).sum()) + float(held.sum() - count) ** 2
        if taken and distance < closest:
            closest, best = distance, np.array(sorted(taken))
    if not len(best):
        smallest = f"the smallest of the {len(names)} groups has {table.sum(1).min()} of {len(labels)} images"
        reason = f"no group is small enough for it and leaves each class an image to train on ({smallest})"
        raise AssayError(f"{PARAMS_FILE}: data.{split}: got {count}; {reason}")
    return np.flatnonzero(np.isin(own, best))


def told(counts: Mapping[str, int]) -> str:
    """The number of images of each split, and how far off a difference between two arms is on such a test set, at 95 %.

    Of n images that both arms answer, b are right in the first arm alone and c in the second. The variance of
    (b - c) / n is at most d / n, with d the share on which they differ, so the interval reaches 1.96 √(d / n).
    """
    sizes = ", ".join(f"{split} {count}" for split, count in counts.items())
    reaches = (min(100.0, 196 * math.sqrt(share / counts["test"])) for share in (DISAGREEMENT, 1.0))
    usual, worst = (f"{float(f'{reach:.2g}'):g}" for reach in reaches)
    reach = f"± {usual} points (95 %) where two arms differ on one image in ten (1.96 √(0.1 / n))"
    return f"images: {sizes}; on this test set a difference in accuracy is known to about {reach}, ± {worst} at worst"
