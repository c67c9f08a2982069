"""What a variant said about the test set: a few numbers an example, enough for every metric."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from assay.core import files
from assay.core.errors import AssayError, again

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float32, UInt8

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """One variant on the test set, a row for each seed."""

    correct: UInt8[Array, "seed example"]  # 1 where the most probable class is the label; the lowest class wins a tie
    confidence: Float32[Array, "seed example"]  # the probability of the most probable class
    nll: Float32[Array, "seed example"]  # minus the logarithm of the label's probability, in nats; bounded (`FLOOR`)
    brier: Float32[Array, "seed example"]  # squared distance of probabilities and label, summed over classes; 0 to 2

    def of_seeds(self, indices: Sequence[int]) -> Predictions:
        """The rows of the seeds at these indices, in this order."""
        return Predictions(*(getattr(self, field)[list(indices)] for field in FIELDS))


FIELDS = tuple(field.name for field in fields(Predictions))


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several blocks of seeds as one, in this order."""
    return Predictions(*(np.concatenate([getattr(part, field) for part in parts]) for field in FIELDS))


def write(path: Path, predictions: Mapping[str, Predictions]) -> str:
    """Write the predictions of an arm's variants as `<variant>/<field>`, atomically; gives the file's SHA-256."""
    tensors = {f"{name}/{field}": getattr(one, field) for name, one in predictions.items() for field in FIELDS}
    with files.replacing(path) as temporary:
        save_file(tensors, temporary)
        return files.file_digest(temporary)


def read(path: Path, variants: Sequence[str], digest: str, where: Path) -> dict[str, Predictions]:
    """Read the predictions of these variants; `digest` is the SHA-256 that the record at `where` has of the file.

    Raises:
        AssayError: the file is missing, the record is of an older version and has no digest, or another one.
    """
    if not path.is_file():
        raise AssayError(f"{path}: not found; `dvc repro` writes it, `dvc pull` fetches it")
    if not digest:
        raise AssayError(f"{where}: holds no digest of {path}, as older versions wrote it; run `dvc repro`")
    if files.file_digest(path) != digest:
        raise AssayError(f"{path}: damaged or altered: not the SHA-256 in {where}; {again(path)}")
    tensors = load_file(path)
    return {name: Predictions(*(tensors[f"{name}/{field}"] for field in FIELDS)) for name in variants}
