"""What data/raw holds: checked against the catalogue, or against the record of the user's images, then read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.errors import AssayError, again
from assay.data import formats, packed
from assay.data.sets.catalog import DATA_SETS, DataSet

if TYPE_CHECKING:
    from pathlib import Path

    from assay.core.config import Data
    from assay.data.formats import Examples


@dataclass(frozen=True)
class Raw:
    """A data set as published.

    Attributes:
        train: images uint8 `(n, c, h, w)` and labels int64 `(n,)`, with those for validation unless they are a split of
            their own.
        test: likewise.
        class_names: by label.
        validation: likewise; None where the data set has no such split.
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
    for name, known in data_set.files.items():
        path, (algorithm, _, expected) = folder / name, known.partition(":")
        if not path.is_file():
            raise AssayError(f"{path}: not there")
        digest = files.file_digest(path, algorithm)
        if digest != expected:
            raise AssayError(
                f"{path}: damaged or altered: its {algorithm} is {digest} ({path.stat().st_size} bytes), not {expected}"
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
    paths = [folder / name for name in data_set.files]
    train, test = formats.READERS[data_set.layout](paths, data_set.images.classes)
    for (images, labels), count in ((train, data_set.train), (test, data_set.test)):
        if images.shape != (count, *data_set.shape) or labels.shape != (count,):
            raise AssayError(
                f"{folder}: {images.shape} images and {labels.shape} labels; {data.name} has {count} of "
                f"{data_set.shape}"
            )
    return Raw(train, test, data_set.class_names)
