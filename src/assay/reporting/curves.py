"""Learning curves: `metrics/curves/<arm>.csv`, as training writes them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float64, Int64

    from assay.evaluation.predictions import Array

FOLDER = Path("metrics/curves")


@dataclass(frozen=True)
class Curve:
    """One split's curve of an arm.

    Attributes:
        steps: where it was evaluated.
        loss: mean cross-entropy, nats.
        accuracy: 0 to 1.
    """

    steps: Int64[Array, " point"]
    loss: Float64[Array, "seed point"]
    accuracy: Float64[Array, "seed point"]


def read_all(root: Path, names: Iterable[str]) -> dict[str, dict[str, Curve]]:
    """The curves of the baseline and the arms, by arm, then split; pruning rounds are not among them.

    Raises:
        AssayError: a file is missing or not a table of curves.
    """
    return {name: read(root / FOLDER / f"{name}.csv") for name in names if not name.startswith("round-")}


def read(path: Path) -> dict[str, Curve]:
    """The curves of one file, by split.

    Raises:
        AssayError: it is missing, lacks a column, or seeds were evaluated at different steps.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise AssayError(f"{path}: not found; `dvc repro` writes it") from None
    points: dict[str, dict[tuple[int, int], tuple[float, float]]] = {}
    try:
        for line in lines:
            where = int(line["seed"]), int(line["step"])
            points.setdefault(line["split"], {})[where] = float(line["loss"]), float(line["accuracy"])
        return {split: _curve(found) for split, found in points.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise AssayError(f"{path}: not a table of curves ({error}); delete it and run `dvc repro`") from None


def _curve(points: dict[tuple[int, int], tuple[float, float]]) -> Curve:
    seeds = sorted({seed for seed, _ in points})
    steps = sorted({step for _, step in points})
    table = np.array([[points[seed, step] for step in steps] for seed in seeds])
    return Curve(np.array(steps), table[..., 0], table[..., 1])
