"""The layouts in which image data sets are published, read and written: IDX, CIFAR binary, STL-10 binary.

Readers refuse a file whose size does not fit its layout and name it; they return arrays that own their memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Int64, UInt8

# IDX (the MNIST files): two zero bytes, a type code, the number of dimensions, each dimension as a big-endian uint32
_IDX_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}
_CIFAR_PIXELS = 3 * 32 * 32
_STL10_SHAPE = (3, 96, 96)


def idx_header(shape: Sequence[int], code: int = 0x08) -> bytes:
    """The bytes before the values of an IDX file: `code` is 0x08 for unsigned bytes, 0x0C for 32-bit integers."""
    return bytes((0, 0, code, len(shape))) + np.array(shape, dtype=">u4").tobytes()


def write_idx(path: Path, values: UInt8[np.ndarray, ...]) -> None:
    """Write unsigned bytes as an IDX file."""
    path.write_bytes(idx_header(values.shape) + np.ascontiguousarray(values, dtype=np.uint8).tobytes())


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file: an array of the shape in its header, uint8 or int64.

    Raises:
        AssayError: it is not an IDX file, or shorter or longer than its header says.
    """
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
    """Write CIFAR-10's official binary layout: for each image a label byte, then the red, green and blue plane."""
    column = np.asarray(labels, dtype=np.uint8)[:, None]
    path.write_bytes(np.concatenate([column, images], axis=1).tobytes())


def read_cifar10(path: Path) -> tuple[UInt8[np.ndarray, "n 3 32 32"], Int64[np.ndarray, " n"]]:
    """Read images and labels from CIFAR-10's official binary layout (Krizhevsky 2009).

    Raises:
        AssayError: the file does not hold a whole number of records.
    """
    record = 1 + _CIFAR_PIXELS
    size = path.stat().st_size
    _check_size(path, max(1, round(size / record)) * record)
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, record)
    return np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def read_stl10_images(path: Path) -> UInt8[np.ndarray, "n 3 96 96"]:
    """Read images from STL-10's binary layout (Coates, Lee and Ng 2011), which stores each plane column by column.

    Raises:
        AssayError: the file does not hold a whole number of images.
    """
    size = math.prod(_STL10_SHAPE)
    _check_size(path, max(1, round(path.stat().st_size / size)) * size)
    planes = np.fromfile(path, dtype=np.uint8).reshape(-1, *_STL10_SHAPE)
    return np.ascontiguousarray(planes.transpose(0, 1, 3, 2))


def read_stl10_labels(path: Path) -> Int64[np.ndarray, " n"]:
    """Read labels from STL-10's binary layout, which counts them from 1; here they begin with 0."""
    return np.fromfile(path, dtype=np.uint8).astype(np.int64) - 1


def check_labels(path: Path, labels: Int64[np.ndarray, " n"], classes: int) -> Int64[np.ndarray, " n"]:
    """Hand the labels back if they all lie in 0 to `classes` - 1.

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
