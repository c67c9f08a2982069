"""What data/raw holds: a published data set's files, or a user's own images, packed; checked, then read.

The user's images are a record, and IDX files of images `(n, 3, side, side)` and labels `(n,)` for each split;
`assay.data.folder` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from assay.core import files
from assay.core.config import PARAMS_FILE, parsing
from assay.core.errors import AssayError, again
from assay.data import formats
from assay.data.sets.catalog import DATA_SETS, DataSet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from assay.core.config import Data
    from assay.data.formats import Examples

RECORD = "folder.json"
SPLITS = ("train", "validation", "test")
NEEDED = ("train", "test")
AGAIN = "run `dvc repro --force download`"


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


class Record(BaseModel):
    """What the user's packed files are.

    Attributes:
        class_names: names of the class folders, by label.
        side: height and width in pixels.
        digest: of the user's files: their paths and bytes.
        counts: number of images by split; the validation split may be missing.
        files: SHA-256 of each packed file, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_names: list[str]
    side: int
    digest: str
    counts: dict[str, int]
    files: dict[str, str]

    @property
    def splits(self) -> list[str]:
        """The splits that are there."""
        return [split for split in SPLITS if split in NEEDED or split in self.counts]


def read(folder: Path, data: Data) -> Raw:
    """Check data/raw again, then read it.

    Raises:
        AssayError: a file is missing, truncated or altered, or holds labels out of range; the line names it.
    """
    if data.name not in DATA_SETS:
        record = verify_packed(folder, data)
        splits = {split: _read_packed(folder, split, record) for split in record.splits}
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


def verify_packed(folder: Path, data: Data) -> Record:
    """Check the user's packed files against their record, and the record against params.yaml.

    Raises:
        AssayError: a file is missing or altered, or it was packed for another side or from other images.
    """
    path = folder / RECORD
    record = parsing.read(Record, path, AGAIN, AGAIN)
    if record.side != data.side:
        raise AssayError(f"{path}: images with a side of {record.side}; {PARAMS_FILE} asks for {data.side}; {AGAIN}")
    check_digest(data, record.digest, str(path))
    check_validation(data, record.counts, str(path))
    for name in (name for split in record.splits for name in file_names(split)):
        if not (folder / name).is_file():
            raise AssayError(f"{folder / name}: not there; {AGAIN}")
        if files.file_digest(folder / name) != record.files.get(name):
            raise AssayError(f"{folder / name}: damaged or altered: not the SHA-256 in {RECORD}; {again(folder)}")
    return record


def check_digest(data: Data, digest: str, where: str) -> None:
    """Compare a digest with `data.digest`, where that is given.

    Raises:
        AssayError: they differ.
    """
    if data.digest is not None and data.digest != digest:
        raise AssayError(
            f"{where}: the images' digest is {digest}; {PARAMS_FILE} asks for data.digest: {data.digest}; "
            "restore those images, or change the key if the new ones are meant"
        )


def check_validation(data: Data, counts: Mapping[str, int], where: str) -> None:
    """Check that no images are to be held out where the user's folder has a validation split.

    Raises:
        AssayError: `data.validation` is not 0.
    """
    if "validation" in counts and data.validation:
        raise AssayError(
            f"{PARAMS_FILE}: data.validation: got {data.validation}; {where} has a validation split of its own "
            f"({counts['validation']} images), which is used: set data.validation: 0, or rename that folder"
        )


def file_names(split: str) -> tuple[str, str]:
    """The packed files of a split's images and labels."""
    return f"{split}-images-idx4-ubyte", f"{split}-labels-idx1-int"


def _read_packed(folder: Path, split: str, record: Record) -> Examples:
    paths = [folder / name for name in file_names(split)]
    images, labels = map(formats.read_idx, paths)
    count = record.counts.get(split)
    for path, values, shape in zip(paths, (images, labels), ((3, record.side, record.side), ()), strict=True):
        if values.shape != (count, *shape):
            raise AssayError(f"{path}: shape {values.shape}; {RECORD} says {(count, *shape)}; {AGAIN}")
    return images, formats.check_labels(paths[1], labels, len(record.class_names))
