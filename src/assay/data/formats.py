"""Readers and writers of the layouts in which image data sets are published: IDX, CIFAR, STL-10.

A reader refuses a file whose size does not fit its layout and names it; it returns arrays that own their memory.
torchvision's readers are not used: its IDX reader takes at most three dimensions and fails by assertions without a
text, its CIFAR reader runs what a pickle asks for, those of CIFAR and STL-10 need all files of the archive, and none
reads CIFAR's binary layout.
"""

from __future__ import annotations

import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jaxtyping import Int64, UInt8

    Examples = tuple[UInt8[np.ndarray, "n c h w"], Int64[np.ndarray, " n"]]
    Reader = Callable[[Sequence[Path], int], tuple[Examples, Examples]]

# IDX (the MNIST files): two zero bytes, a type code, the number of dimensions, each dimension as a big-endian uint32
_IDX_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}
_CIFAR_SHAPE, _STL10_SHAPE = (3, 32, 32), (3, 96, 96)
_PICKLED = {"numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}


def idx_header(shape: Sequence[int], code: int = 0x08) -> bytes:
    """The bytes before the values of an IDX file: `code` is 0x08 for unsigned bytes, 0x0C for 32-bit integers."""
    return bytes((0, 0, code, len(shape))) + np.array(shape, dtype=">u4").tobytes()


def write_idx(path: Path, values: UInt8[np.ndarray, ...]) -> None:
    """Write unsigned bytes as an IDX file."""
    path.write_bytes(idx_header(values.shape) + np.ascontiguousarray(values, dtype=np.uint8).tobytes())


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file: an array of the shape in its header, uint8 or int64; an `AssayError` names one that is none."""
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
    values: np.ndarray = np.fromfile(path, dtype=dtype, offset=header).reshape(shape)
    return values if dtype.itemsize == 1 else values.astype(np.int64)


def write_cifar10(path: Path, images: UInt8[np.ndarray, "n 3072"], labels: Sequence[int]) -> None:
    """Write CIFAR-10's binary layout: for each image a label byte, then the red, green and blue plane."""
    column = np.asarray(labels, dtype=np.uint8)[:, None]
    path.write_bytes(np.concatenate([column, images], axis=1).tobytes())


def read_cifar10(path: Path) -> tuple[UInt8[np.ndarray, "n 3 32 32"], Int64[np.ndarray, " n"]]:
    """Read images and labels from CIFAR-10's binary layout (Krizhevsky 2009)."""
    records = _records(path, 1 + math.prod(_CIFAR_SHAPE))
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, *_CIFAR_SHAPE), records[:, 0].astype(np.int64)


class _ArraysOnly(pickle.Unpickler):
    """Loads arrays, numbers, text and their containers, and nothing that runs code."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _PICKLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch of images needs")
        return super().find_class(module, name)


def read_cifar_batch(path: Path) -> tuple[UInt8[np.ndarray, "n 3072"], Int64[np.ndarray, " n"]]:
    """Read a batch of CIFAR-10 or CIFAR-100 (fine labels) as published for Python (Krizhevsky 2009).

    Returns:
        Planar pixels, one image a row, and labels.

    Raises:
        AssayError: the file is not such a batch; nothing in it has been run.
    """
    try:
        with path.open("rb") as stream:
            batch = _ArraysOnly(stream, encoding="latin1").load()
        labels = np.asarray(batch["labels"] if "labels" in batch else batch["fine_labels"], dtype=np.int64)
        images = np.ascontiguousarray(batch["data"], dtype=np.uint8)
    except Exception as error:  # a damaged pickle can raise almost anything
        raise AssayError(f"{path}: not a batch of CIFAR images: {error}") from None
    pixels = math.prod(_CIFAR_SHAPE)
    if images.shape != (len(labels), pixels):
        raise AssayError(f"{path}: {images.shape} pixels for {len(labels)} labels; each image has {pixels}")
    return images, labels


def read_stl10_images(path: Path) -> UInt8[np.ndarray, "n 3 96 96"]:
    """Read images from STL-10's binary layout (Coates, Lee and Ng 2011), which stores each plane column by column."""
    planes = _records(path, math.prod(_STL10_SHAPE)).reshape(-1, *_STL10_SHAPE)
    return np.ascontiguousarray(planes.transpose(0, 1, 3, 2))


def check_labels(path: Path, labels: Int64[np.ndarray, " n"], classes: int) -> Int64[np.ndarray, " n"]:
    """Return the labels if they all lie in 0 to `classes` - 1.

    Raises:
        AssayError: one does not; the line names the file and the first such example.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise AssayError(
            f"{path}: example {wrong[0]} has label {labels[wrong[0]]}; labels go from 0 to {classes - 1} "
            f"({len(wrong)} out of range)"
        )
    return labels


def _check_size(path: Path, expected: int) -> None:
    size = path.stat().st_size
    if size != expected:
        kind = "truncated" if size < expected else "too long"
        raise AssayError(f"{path}: {kind}: {size} bytes; its layout asks for {expected}")


def _records(path: Path, size: int) -> UInt8[np.ndarray, "n size"]:
    """The records of a file that holds one or more of `size` bytes each, and nothing else."""
    _check_size(path, max(1, round(path.stat().st_size / size)) * size)
    return np.fromfile(path, dtype=np.uint8).reshape(-1, size)


def _pairs(images: Callable[[Path], np.ndarray], labels: Callable[[Path], np.ndarray]) -> Reader:
    # four files: images and labels for training, and for testing
    def read(paths: Sequence[Path], classes: int) -> tuple[Examples, Examples]:
        train, test = ((images(one), check_labels(two, labels(two), classes)) for one, two in (paths[:2], paths[2:]))
        return train, test

    return read


def _batches(batch: Callable[[Path], tuple[np.ndarray, np.ndarray]]) -> Reader:
    # files that hold images and labels each; the last is for testing
    def read(paths: Sequence[Path], classes: int) -> tuple[Examples, Examples]:
        images, labels = zip(*map(batch, paths), strict=True)
        images = [one.reshape(-1, *_CIFAR_SHAPE) for one in images]
        labels = [check_labels(path, one, classes) for path, one in zip(paths, labels, strict=True)]
        return (np.concatenate(images[:-1]), np.concatenate(labels[:-1])), (images[-1], labels[-1])

    return read


# by layout: from the files, in the catalogue's order, and the number of classes to training and test examples
READERS: dict[str, Reader] = {
    "idx": _pairs(lambda path: read_idx(path)[:, None], lambda path: read_idx(path).astype(np.int64)),
    "cifar10": _batches(read_cifar10),
    "cifar100": _batches(read_cifar_batch),
    "stl10": _pairs(
        read_stl10_images, lambda path: np.fromfile(path, dtype=np.uint8).astype(np.int64) - 1
    ),  # from 1 on disk
}
