"""A user's own images as data/raw holds them: a record, and IDX files of images `(n, 3, side, side)` and labels `(n,)`.

`assay.data.folder` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from assay.core import files
from assay.core.config import PARAMS_FILE, parsing
from assay.core.errors import AssayError, again
from assay.data import formats

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from assay.core.config import Data
    from assay.data.formats import Examples

RECORD = "folder.json"
SPLITS = ("train", "validation", "test")
NEEDED = ("train", "test")
AGAIN = "run `dvc repro --force download`"


class Record(BaseModel):
    """What the packed files are.

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


def file_names(split: str) -> tuple[str, str]:
    """The files of a split's images and labels."""
    return f"{split}-images-idx4-ubyte", f"{split}-labels-idx1-int"


def verify(folder: Path, data: Data) -> Record:
    """Check the packed files against their record, and the record against params.yaml.

    Raises:
        AssayError: a file is missing or altered, or it was packed for another side or from other images.
    """
    path = folder / RECORD
    record = parsing.read(Record, path, AGAIN, AGAIN)
    if record.side != data.side:
        raise AssayError(f"{path}: images with a side of {record.side}; {PARAMS_FILE} asks for {data.side}; {AGAIN}")
    check_digest(data, record.digest, str(path))
    check_validation(data, record.counts, str(path))
    for split in record.splits:
        for name in file_names(split):
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


def read(folder: Path, split: str, record: Record) -> Examples:
    """Read the images and labels of one split.

    Raises:
        AssayError: they are not what the record says, or a label is out of range; the line names the file.
    """
    paths = [folder / name for name in file_names(split)]
    images, labels = map(formats.read_idx, paths)
    count = record.counts.get(split)
    expected = ((count, 3, record.side, record.side), (count,))
    for path, values, shape in zip(paths, (images, labels), expected, strict=True):
        if values.shape != shape:
            raise AssayError(f"{path}: shape {values.shape}; {RECORD} says {shape}; {AGAIN}")
    return images, formats.check_labels(paths[1], labels, len(record.class_names))
