"""What data/raw holds: the layouts of published data sets (IDX, CIFAR, STL-10), and a user's own images, packed.

Every file is checked by its digest, then read: a reader refuses a file whose size does not fit its layout and names it.
torchvision's readers are not used: its IDX reader takes at most three dimensions, its CIFAR reader runs what a pickle
asks for, those of CIFAR and STL-10 need all files of the archive, and none reads CIFAR's binary layout.

The user's images are a record, and IDX files of images `(n, c, h, w)` and labels `(n,)` for each split, and of the
training images' groups `(n,)` where they have some; `assay.data.folder` writes them.
"""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from assay.core import files
from assay.core.config import PARAMS_FILE, parsing
from assay.core.errors import AssayError, again
from assay.data.catalog import DATA_SETS, DataSet
from assay.data.sets.images import SPLITS, Fit, Preparation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Int64, UInt8

    from assay.core.config import Data

    Labels = Int64[np.ndarray, " n"]
    Arrays = tuple[UInt8[np.ndarray, "n c h w"], Labels]
    Examples = tuple[UInt8[np.ndarray, "n c h w"] | "IdxImages", Labels]

RECORD = "folder.json"
NEEDED = ("train",)
GROUPS = "train-groups-idx1-int"
AGAIN = "run `dvc repro --force download`"
# IDX (the MNIST files): two zero bytes, a type code, the number of dimensions, each dimension as a big-endian uint32
_BYTES, _INTEGERS = 0x08, 0x0C
_IDX_TYPES: dict[int, np.dtype[Any]] = {_BYTES: np.dtype(">u1"), _INTEGERS: np.dtype(">i4")}
_CIFAR_SHAPE, _STL10_SHAPE = (3, 32, 32), (3, 96, 96)
_PICKLED = {"numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}


def idx_header(shape: Sequence[int], code: int = _BYTES) -> bytes:
    """The bytes before the values of an IDX file: `code` is 0x08 for unsigned bytes, 0x0C for 32-bit integers."""
    return bytes((0, 0, code, len(shape))) + np.array(shape, dtype=">u4").tobytes()


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write an IDX file of unsigned bytes, or of 32-bit integers where `values` has another type than uint8."""
    code = _BYTES if values.dtype == np.uint8 else _INTEGERS
    path.write_bytes(idx_header(values.shape, code) + values.astype(_IDX_TYPES[code]).tobytes())


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file: an array of the shape in its header, uint8 or int64; an `AssayError` names one that is none."""
    dtype, shape, header = _idx_layout(path)
    values: np.ndarray = np.fromfile(path, dtype=dtype, offset=header).reshape(shape)
    return values if dtype.itemsize == 1 else values.astype(np.int64)


class IdxImages:
    """The images in an IDX file, grey ones `(n, h, w)` or `(n, c, h, w)`, read when rows of them are asked for.

    Attributes:
        shape: `(n, c, h, w)`, whatever the file's.
    """

    def __init__(self, path: Path) -> None:
        dtype, shape, self._header = _idx_layout(path)
        if dtype.itemsize != 1 or len(shape) not in (3, 4):
            raise AssayError(f"{path}: not images: values of {dtype.itemsize} bytes, {len(shape)} dimensions")
        self._path, self.shape = path, shape if len(shape) == 4 else (shape[0], 1, *shape[1:])

    def __getitem__(self, rows: slice | Int64[np.ndarray, " m"]) -> UInt8[np.ndarray, "m c h w"]:
        """A copy of these rows.

        The file is mapped anew each time: until it is unmapped, pages that were read count as the process's memory.
        """
        return np.array(np.memmap(self._path, np.uint8, "r", self._header, self.shape)[rows])


def _idx_layout(path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """The type and shape of an IDX file's values, and how many bytes stand before them; errors as of `read_idx`."""
    with path.open("rb") as stream:
        start = stream.read(4)
        dtype = _IDX_TYPES.get(start[2]) if len(start) == 4 and start[:2] == b"\0\0" else None
        if dtype is None:
            raise AssayError(f"{path}: not an IDX file of bytes or 32-bit integers (begins with {start.hex()})")
        sides = stream.read(4 * start[3])
    header = 4 + 4 * start[3]
    if len(sides) < 4 * start[3]:
        raise AssayError(f"{path}: truncated within its header of {header} bytes")
    shape = tuple(np.frombuffer(sides, dtype=">u4").tolist())
    _check_size(path, header + math.prod(shape) * dtype.itemsize)
    return dtype, shape, header


def read_idx_pair(images: Path, labels: Path) -> Examples:
    """Open images and read labels, from two IDX files."""
    return IdxImages(images), read_idx(labels).astype(np.int64)


def write_cifar10(path: Path, images: UInt8[np.ndarray, "n ..."], labels: Sequence[int] | np.ndarray) -> None:
    """Write CIFAR-10's binary layout: for each image a label byte, then the red, green and blue plane."""
    column = np.asarray(labels, dtype=np.uint8)[:, None]
    path.write_bytes(np.concatenate([column, images.reshape(len(images), -1)], axis=1).tobytes())


def read_cifar10(path: Path) -> Arrays:
    """Read images and labels from CIFAR-10's binary layout (Krizhevsky 2009)."""
    records = _records(path, 1 + math.prod(_CIFAR_SHAPE))
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *_CIFAR_SHAPE), records[:, 0].astype(np.int64)


class _ArraysOnly(pickle.Unpickler):
    """Loads arrays, numbers, text and their containers, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _PICKLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of images needs")
        return super().find_class(module, name)


def read_cifar_batch(path: Path) -> Arrays:
    """Read a batch of CIFAR-10 or CIFAR-100 (fine labels) as published for Python (Krizhevsky 2009)."""
    try:
        with path.open("rb") as stream:
            batch = _ArraysOnly(stream, encoding="latin1").load()
        labels = np.asarray(batch["labels"] if "labels" in batch else batch["fine_labels"], dtype=np.int64)
        images = np.ascontiguousarray(batch["data"], dtype=np.uint8).reshape(len(labels), *_CIFAR_SHAPE)
    except Exception as error:  # a damaged pickle can raise almost anything
        raise AssayError(f"{path}: not a batch of CIFAR images: {error}") from None
    return images, labels


def read_stl10(images: Path, labels: Path) -> Arrays:
    """Read STL-10's binary layout (Coates, Lee and Ng 2011): planes column by column, labels from 1 on."""
    planes = _records(images, math.prod(_STL10_SHAPE)).reshape(-1, *_STL10_SHAPE)
    return np.ascontiguousarray(planes.transpose(0, 1, 3, 2)), np.fromfile(labels, dtype=np.uint8).astype(np.int64) - 1


def _records(path: Path, size: int) -> UInt8[np.ndarray, "n size"]:
    """The records of a file that holds one or more of `size` bytes each, and nothing else."""
    _check_size(path, max(1, round(path.stat().st_size / size)) * size)
    return np.fromfile(path, dtype=np.uint8).reshape(-1, size)


def _check_size(path: Path, expected: int) -> None:
    size = path.stat().st_size
    if size != expected:
        kind = "truncated" if size < expected else "too long"
        raise AssayError(f"{path}: {kind}: {size} bytes; its layout asks for {expected}")


def check_labels(path: Path, labels: Int64[np.ndarray, " n"], classes: int) -> None:
    """Check that all labels lie in 0 to `classes` - 1; an `AssayError` names the file and the first that does not."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        said = f"labels go from 0 to {classes - 1} ({len(wrong)} out of range)"
        raise AssayError(f"{path}: example {wrong[0]} has label {labels[wrong[0]]}; {said}")


# by layout: the number of files, the last of them with the labels, that hold a part of the data set, and their reader
READERS: dict[str, tuple[int, Callable[..., Examples]]] = {
    "idx": (2, read_idx_pair),
    "cifar10": (1, read_cifar10),
    "cifar100": (1, read_cifar_batch),
    "stl10": (2, read_stl10),
}


class Raw(NamedTuple):
    """A data set as published: of each split, images uint8 `(n, c, h, w)` and labels int64 `(n,)`.

    Images are an array, or `IdxImages`: of either, a slice or an array of positions gives rows as an array.
    """

    class_names: tuple[str, ...]
    train: Examples
    test: Examples | None = None  # None where there is no such split; its images are then a part of `train`
    validation: Examples | None = None  # likewise
    groups: Int64[np.ndarray, " n"] | None = None  # of each training image, where one group must be in one split


class Record(BaseModel):
    """What the user's packed files are; a field at its default is not written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_names: tuple[str, ...]  # names of the classes, by label
    side: int | tuple[int, int]  # in pixels; height and width, or both
    digest: str  # of the user's files: their paths and bytes
    counts: dict[str, int]  # number of images by split; validation and test may be missing
    files: dict[str, str]  # SHA-256 of each packed file, by name
    fit: Fit = "crop"
    channels: int = 3

    @property
    def splits(self) -> list[str]:
        """The splits that are there."""
        return [split for split in SPLITS if split in NEEDED or split in self.counts]


def preparation_of(asked: Data | Record) -> Preparation:
    """What becomes of the user's images by the section `data` of params.yaml, or what became of packed ones."""
    if asked.side is None:
        raise ValueError("a folder without a side does not pass the configuration's checks")
    height, width = asked.side if isinstance(asked.side, tuple) else (asked.side, asked.side)
    return Preparation(height, width, asked.fit, asked.channels)


def file_names(split: str) -> tuple[str, str]:
    """The packed files of a split's images and labels."""
    return f"{split}-images-idx4-ubyte", f"{split}-labels-idx1-int"


def read(folder: Path, data: Data) -> Raw:
    """Check data/raw again, then read it.

    Raises:
        AssayError: a file is missing, truncated, altered, packed from other images or for another side, or holds
            labels out of range; the line names it.
    """
    about: Record | DataSet
    splits: dict[str, Any]
    if data.name in DATA_SETS:
        about = DATA_SETS[data.name]
        verify(folder, about.files, again(folder))
        *train, test = _parts(about.layout, [folder / name for name in about.files], len(about.class_names))
        several = len(train) > 1  # of CIFAR, which is small; IDX files are one
        splits = {"train": tuple(map(np.concatenate, zip(*train, strict=True))) if several else train[0], "test": test}
        where, counts, shape = folder, {"train": about.train, "test": about.test}, about.shape
    else:
        about = verify_packed(folder, data)
        paths = [folder / name for split in about.splits for name in file_names(split)]
        splits = dict(zip(about.splits, _parts("idx", paths, len(about.class_names)), strict=True))
        where, counts, shape = folder / RECORD, about.counts, preparation_of(about).shape
    for split, (images, labels) in splits.items():
        count = counts.get(split)
        if images.shape != (count, *shape) or labels.shape != (count,):
            found = f"{images.shape} images and {labels.shape} labels of {split}"
            raise AssayError(f"{where}: {found}; {data.name} has {count} of {shape}; {AGAIN}")
    groups = read_idx(folder / GROUPS) if isinstance(about, Record) and GROUPS in about.files else None
    return Raw(about.class_names, **splits, groups=groups)


def _parts(layout: str, paths: Sequence[Path], classes: int) -> list[Examples]:
    size, reader = READERS[layout]
    parts: list[Examples] = []
    for start in range(0, len(paths), size):
        images, labels = reader(*paths[start : start + size])
        check_labels(paths[start + size - 1], labels, classes)
        parts.append((images, labels))
    return parts


def verify(folder: Path, known: Mapping[str, str], advice: str = "") -> None:
    """Check files by their digests, as in `md5:...`, by name; an `AssayError` names one, and ends in `advice`."""
    end = advice and f"; {advice}"
    for name, digest in known.items():
        path, (algorithm, _, expected) = folder / name, digest.partition(":")
        if not path.is_file():
            raise AssayError(f"{path}: not there{end}")
        if (found := files.file_digest(path, algorithm)) != expected:
            own = f"its {algorithm} is {found} ({path.stat().st_size} bytes), not {expected}"
            raise AssayError(f"{path}: damaged or altered: {own}{end}")


def verify_packed(folder: Path, data: Data) -> Record:
    """Check the user's packed files against their record, and that against params.yaml; errors as of `read`."""
    path = folder / RECORD
    record = parsing.read(Record, path, AGAIN, AGAIN)
    if (packed := preparation_of(record)) != (wanted := preparation_of(data)):
        raise AssayError(f"{path}: images of {packed}; {PARAMS_FILE} asks for {wanted}; {AGAIN}")
    check_own(data, record.counts, str(path), record.digest)
    names = [name for split in record.splits for name in file_names(split)]
    names += [GROUPS] if GROUPS in record.files else []
    verify(folder, {name: f"sha256:{record.files.get(name)}" for name in names}, again(folder))
    return record


def check_own(data: Data, counts: Mapping[str, int], where: str, digest: str | None = None) -> None:
    """Refuse a user's own images that have another digest than `data.digest`, or no test split and none held out.

    `counts` are their numbers in each split, `where` is for messages. A split of their own is not held out as well.
    """
    if digest is not None and data.digest not in (None, digest):
        asked = f"{PARAMS_FILE} asks for data.digest: {data.digest}"
        remedy = "restore those images, or change the key if the new ones are meant"
        raise AssayError(f"{where}: the images' digest is {digest}; {asked}; {remedy}")
    for split, held_out in (("validation", data.validation), ("test", data.test)):
        if split in counts and held_out:
            own = f"has a {split} split of its own ({counts[split]} images), which is used"
            said = f"{where} {own}: set data.{split}: 0, or rename that split"
            raise AssayError(f"{PARAMS_FILE}: data.{split}: got {held_out}; {said}")
    if "test" not in counts and not data.test:
        said = "say how many of its images are held out as the test set, or give it one"
        raise AssayError(f"{PARAMS_FILE}: data.test: missing; {where} has no test split: {said}")
