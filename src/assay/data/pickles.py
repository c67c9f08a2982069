"""CIFAR's Python batches without what makes pickles dangerous: only arrays, numbers, text and their containers load."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Int64, UInt8

_PIXELS = 3 * 32 * 32
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
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
    if images.shape != (len(labels), _PIXELS):
        raise AssayError(f"{path}: {images.shape} pixels for {len(labels)} labels; each image has {_PIXELS}")
    return images, labels
