"""Learning curves: `metrics/curves/<arm>.csv`, as training writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from assay.core.config import SEEDS_FILE
from assay.core.config.blocks import read_blocks
from assay.core.errors import AssayError, again
from assay.core.plain import read_csv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float64, Int64

    from assay.scoring.predictions import Array

FOLDER = Path("metrics/curves")
Curves = dict[str, dict[str, "Curve"]]


class Row(NamedTuple):
    """A row of a file; None where a cell is empty."""

    arm: str
    seed: int
    step: int
    split: str
    loss: float | None
    accuracy: float | None


class Curve(NamedTuple):
    """One split's curve of an arm: mean cross-entropy in nats and accuracy (0 to 1) of each seed at each step."""

    seeds: tuple[int, ...]
    steps: Int64[Array, " point"]
    loss: Float64[Array, "seed point"]
    accuracy: Float64[Array, "seed point"]


def read_all(root: Path, names: Iterable[str]) -> Curves:
    """The curves of the baseline, the arms and the rounds, by arm (or `round-<n>/<variant>`), then by split.

    Those of an arm are of all its seeds, its blocks' included.

    Raises:
        AssayError: a file is missing or not a table of curves.
    """
    found: Curves = {}
    blocks = read_blocks(root / SEEDS_FILE)
    for name in names:
        parts = [read(root / FOLDER / f"{one}.csv") for one in (name, *blocks.of(name))]
        for arm, splits in parts[0].items():
            found[arm] = {}
            for split, first in splits.items():
                own = [part[arm][split] for part in parts]
                if any(not np.array_equal(one.steps, first.steps) for one in own):
                    raise AssayError(f"{FOLDER / name}.csv: its blocks were evaluated at other steps; run `dvc repro`")
                seeds = tuple(seed for one in own for seed in one.seeds)
                loss, accuracy = (np.concatenate([getattr(one, key) for one in own]) for key in ("loss", "accuracy"))
                found[arm][split] = Curve(seeds, first.steps, loss, accuracy)
    return found


def read(path: Path) -> Curves:
    """The curves of one file, by what its column `arm` says, then by split.

    Raises:
        AssayError: it is missing, cut off or lacks a column, or seeds were evaluated at different steps.
    """
    table = rows(path)
    found: Curves = {}
    try:
        if not path.read_bytes().endswith(b"\n"):
            raise ValueError("it is cut off: its last line has no end")  # noqa: TRY301
        for arm, split in dict.fromkeys((row.arm, row.split) for row in table):
            own = [row for row in table if (row.arm, row.split) == (arm, split)]
            points = {(row.seed, row.step): (row.loss, row.accuracy) for row in own}
            seeds, steps = (sorted(set(axis)) for axis in zip(*points, strict=True))
            numbers = np.array([[points[seed, step] for step in steps] for seed in seeds], dtype=np.float64)
            if lacking := [step for (_, step), both in points.items() if None in both]:
                raise ValueError(f"{arm} lacks a number at step {lacking[0]}")  # noqa: TRY301
            found.setdefault(arm, {})[split] = Curve(tuple(seeds), np.array(steps), numbers[..., 0], numbers[..., 1])
        for arm, curves in found.items():
            if len({int(curve.steps[-1]) for curve in curves.values()}) > 1:
                raise ValueError(f"it is cut off: the splits of {arm} end at different steps")  # noqa: TRY301
    except (KeyError, ValueError) as error:
        raise AssayError(f"{path}: not a table of curves ({error}); {again(path)}") from None
    return found


def rows(path: Path) -> list[Row]:
    """The rows of one file.

    Raises:
        AssayError: it is missing, or a row is not of this form.
    """
    found = []
    for number, line in enumerate(read_csv(path, "`dvc pull` fetches it, `dvc repro` writes it", again(path)), start=2):
        try:
            where = line["arm"], int(line["seed"]), int(line["step"]), line["split"]
            found.append(Row(*where, *(float(line[name]) if line[name] else None for name in ("loss", "accuracy"))))
        except (KeyError, TypeError, ValueError) as error:
            raise AssayError(f"{path}: not a table of curves (line {number}: {error}); {again(path)}") from None
    return found
