"""What a variant said about the test set: a few numbers an example, enough for every metric."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from assay.core import files
from assay.core.errors import AssayError, again

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jaxtyping import Float32, UInt8, UInt16

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """One variant on the test set, a row for each seed.

    Fields with a default are None in files of older versions; `top_5` also where there are at most `FEW_CLASSES`
    classes, and those of temperature scaling (`scoring/temperature.py`) where there is no validation set.
    """

    correct: UInt8[Array, "seed example"]  # 1 where the most probable class is the label; the lowest class wins a tie
    confidence: Float32[Array, "seed example"]  # the probability of the most probable class
    nll: Float32[Array, "seed example"]  # minus the logarithm of the label's probability, in nats; bounded (`FLOOR`)
    brier: Float32[Array, "seed example"]  # squared distance of probabilities and label, summed over classes; 0 to 2
    labels: UInt16[Array, " example"] | None = None
    predicted: UInt16[Array, "seed example"] | None = None  # the most probable class; the lowest one wins a tie
    top_5: UInt8[Array, "seed example"] | None = None  # 1 where the label is among the five most probable classes
    scaled_confidence: Float32[Array, "seed example"] | None = None  # as above, after temperature scaling
    scaled_nll: Float32[Array, "seed example"] | None = None
    scaled_brier: Float32[Array, "seed example"] | None = None

    def of_seeds(self, indices: Sequence[int]) -> Predictions:
        """The rows of the seeds at these indices, in this order."""
        rows = {name: one if name == OF_EXAMPLES else one[list(indices)] for name, one in self.arrays().items()}
        return Predictions(**rows)

    @property
    def scaled(self) -> Predictions:
        """The same after temperature scaling, which must have been done."""
        own = {"confidence": self.scaled_confidence, "nll": self.scaled_nll, "brier": self.scaled_brier}
        return replace(self, **own)  # type: ignore[arg-type]

    def arrays(self) -> dict[str, Array]:
        """The fields that are there, by name."""
        return {name: one for name in FIELDS if (one := getattr(self, name)) is not None}


FIELDS = tuple(field.name for field in fields(Predictions))
OF_EXAMPLES = "labels"  # the one field without an axis of seeds
FEW_CLASSES = 20  # with more there is a top-5 accuracy


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several blocks of seeds as one, in this order, with the fields that all of them have."""
    arrays = [part.arrays() for part in parts]
    first, *others = arrays
    common = [name for name in first if all(name in one for one in others)]
    rows = {name: np.concatenate([one[name] for one in arrays]) for name in common if name != OF_EXAMPLES}
    return Predictions(**rows, labels=first[OF_EXAMPLES] if OF_EXAMPLES in common else None)


def write(path: Path, predictions: Mapping[str, Predictions]) -> str:
    """Write the predictions of an arm's variants as `<variant>/<field>`, atomically; gives the file's SHA-256."""
    tensors = {f"{name}/{field}": array for name, one in predictions.items() for field, array in one.arrays().items()}
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
    found: dict[str, dict[str, Array]] = {name: {} for name in variants}
    for key, array in load_file(path).items():
        name, _, field = key.partition("/")
        if name in found and field in FIELDS:
            found[name][field] = array
    return {name: Predictions(**arrays) for name, arrays in found.items()}
