"""What data/raw holds: checked against the catalog, then read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assay.data import formats, packed
from assay.data.pickles import read_cifar_batch
from assay.data.sets.catalog import DATA_SETS, DataSet
from assay.foundation import files
from assay.foundation.errors import AssayError, again

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jaxtyping import Int64, UInt8

    from assay.config import Data

    Examples = tuple[UInt8[np.ndarray, "n c h w"], Int64[np.ndarray, " n"]]


@dataclass(frozen=True)
class Raw:
    """A data set as published.

    Attributes:
        train: images and labels; those for validation are among them unless they are a split of their own.
        test: likewise.
        class_names: by label.
        validation: images and labels; None where the data set has no such split.
    """

    train: Examples
    test: Examples
    class_names: tuple[str, ...]
    validation: Examples | None = None


def verify(folder: Path, data_set: DataSet) -> None:
    """Check every file of a published data set by its digest.

    Raises:
        AssayError: one is missing, truncated or altered; the line names it.
    """
    for file in data_set.files:
        path = folder / file.name
        if not path.is_file():
            raise AssayError(f"{path}: not there")
        digest = files.file_digest(path, file.algorithm)
        if digest != file.digest:
            raise AssayError(
                f"{path}: damaged or altered: its {file.algorithm} is {digest} ({path.stat().st_size} bytes), "
                f"not {file.digest}"
            )


def read(folder: Path, data: Data) -> Raw:
    """Check data/raw again, then read it.

    Raises:
        AssayError: a file is missing, truncated or altered, or holds labels out of range; the line names it.
    """
    if data.name not in DATA_SETS:
        record = packed.verify(folder, data)
        splits = {split: packed.read(folder, split, record) for split in record.splits}
        return Raw(class_names=tuple(record.class_names), **splits)
    data_set = DATA_SETS[data.name]
    try:
        verify(folder, data_set)
    except AssayError as error:
        raise AssayError(f"{error}; {again(folder)}") from None
    train, test = _READERS[data_set.layout](folder, data_set)
    for (images, labels), count in ((train, data_set.train), (test, data_set.test)):
        if images.shape != (count, *data_set.images.shape) or labels.shape != (count,):
            raise AssayError(
                f"{folder}: {images.shape} images and {labels.shape} labels; {data.name} has {count} of "
                f"{data_set.images.shape}"
            )
    return Raw(train, test, data_set.class_names)


def _read_idx(folder: Path, data_set: DataSet) -> tuple[Examples, Examples]:
    paths = [folder / file.name for file in data_set.files]

    def split(images: Path, labels: Path) -> Examples:
        values = formats.read_idx(labels).astype(np.int64)
        return formats.read_idx(images)[:, None], formats.check_labels(labels, values, data_set.images.classes)

    return split(*paths[:2]), split(*paths[2:])


def _read_cifar10(folder: Path, data_set: DataSet) -> tuple[Examples, Examples]:
    batches = []
    for file in data_set.files:
        images, labels = formats.read_cifar10(folder / file.name)
        batches.append((images, formats.check_labels(folder / file.name, labels, data_set.images.classes)))
    images, labels = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))
    return (images, labels), batches[-1]


def _read_cifar100(folder: Path, data_set: DataSet) -> tuple[Examples, Examples]:
    def split(path: Path) -> Examples:
        images, labels = read_cifar_batch(path)
        return images.reshape(-1, 3, 32, 32), formats.check_labels(path, labels, data_set.images.classes)

    train, test = (split(folder / file.name) for file in data_set.files)
    return train, test


def _read_stl10(folder: Path, data_set: DataSet) -> tuple[Examples, Examples]:
    paths = [folder / file.name for file in data_set.files]

    def split(images: Path, labels: Path) -> Examples:
        values = formats.check_labels(labels, formats.read_stl10_labels(labels), data_set.images.classes)
        return formats.read_stl10_images(images), values

    return split(*paths[:2]), split(*paths[2:])


_READERS: dict[str, Callable[[Path, DataSet], tuple[Examples, Examples]]] = {
    "idx": _read_idx,
    "cifar10": _read_cifar10,
    "cifar100": _read_cifar100,
    "stl10": _read_stl10,
}
