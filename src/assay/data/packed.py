"""A user's own images as data/raw keeps them: a few files with a record of what they are, checked and read.

`assay.data.folder` writes them. Images are unsigned bytes `(n, 3, side, side)` and labels 32-bit integers `(n,)`, both
in the IDX layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from assay.config import PARAMS_FILE, parsing
from assay.data import formats
from assay.foundation import files
from assay.foundation.errors import AssayError, again

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from jaxtyping import Int64, UInt8

    from assay.config import Data

RECORD = "folder.json"
SPLITS = ("train", "validation", "test")
NEEDED = ("train", "test")
AGAIN = "run `dvc repro --force download`"


class Record(BaseModel):
    """What the packed files are.

    Attributes:
        class_names: by label: the names of the class folders, sorted.
        side: height and width in pixels.
        digest: of the user's files, their places in the tree and their bytes.
        counts: of images, by split; without a validation split, it is held out of the training images.
        files: the SHA-256 of each packed file, by name.
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


def images_name(split: str) -> str:
    """The file of a split's images."""
    return f"{split}-images-idx4-ubyte"


def labels_name(split: str) -> str:
    """The file of a split's labels."""
    return f"{split}-labels-idx1-int"


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
        for name in (images_name(split), labels_name(split)):
            if not (folder / name).is_file():
                raise AssayError(f"{folder / name}: not there; {AGAIN}")
            if files.file_digest(folder / name) != record.files.get(name):
                raise AssayError(f"{folder / name}: damaged or altered: not the SHA-256 in {RECORD}; {again(folder)}")
    return record


def check_digest(data: Data, digest: str, where: str) -> None:
    """Compare a digest with `data.digest`, where that is given.

    Raises:
        AssayError: they differ; the images are not those that params.yaml means.
    """
    if data.digest is not None and data.digest != digest:
        raise AssayError(
            f"{where}: the images' digest is {digest}; {PARAMS_FILE} asks for data.digest: {data.digest}; "
            "restore those images, or change the key if the new ones are meant"
        )


def check_validation(data: Data, counts: Mapping[str, int], where: str) -> None:
    """Refuse to hold images out for validation where the user's folder has a split for it.

    Raises:
        AssayError: `data.validation` is not 0.
    """
    if "validation" in counts and data.validation:
        raise AssayError(
            f"{PARAMS_FILE}: data.validation: got {data.validation}; {where} has a validation split of its own "
            f"({counts['validation']} images), which is used: set data.validation: 0, or rename that folder"
        )


def read(
    folder: Path, split: str, record: Record
) -> tuple[UInt8[np.ndarray, "n 3 side side"], Int64[np.ndarray, " n"]]:
    """Read the images and labels of one split.

    Raises:
        AssayError: they are not what the record says, or a label is out of range; the line names the file.
    """
    images = formats.read_idx(folder / images_name(split))
    labels = formats.read_idx(folder / labels_name(split))
    count = record.counts.get(split)
    for name, values, shape in (
        (images_name(split), images, (count, 3, record.side, record.side)),
        (labels_name(split), labels, (count,)),
    ):
        if values.shape != shape:
            raise AssayError(f"{folder / name}: shape {values.shape}; {RECORD} says {shape}; {AGAIN}")
    return images, formats.check_labels(folder / labels_name(split), labels, len(record.class_names))
