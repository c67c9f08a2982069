"""`metrics/plots/`: the summary and the learning curves as small tables for `dvc plots show` and `dvc plots diff`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.plain import csv_of
from assay.report.tables import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.analysis.curves import Curves
    from assay.report.summary import Row

FOLDER = Path("metrics/plots")


def write(root: Path, rows: Sequence[Row], curves: Curves) -> None:
    """Write `results.csv`, a line a variant in per cent, and `curves.csv`, a line an arm and step, means over seeds."""
    results = []
    for row in rows:
        shares = _percent(row.accuracy), _percent(row.ece)
        results.append((label(rows, row), *shares, _cell(row.nll, 6), _cell(row.training_cost or 0, 0)))
    points = [
        (arm, step, _cell(curve.loss[:, i].mean(), 6), _percent(curve.accuracy[:, i].mean()))
        for arm, splits in curves.items()
        if (curve := splits.get("validation") or splits.get("train")) is not None
        for i, step in enumerate(curve.steps)
    ]
    with files.replacing(root / FOLDER) as folder:
        folder.mkdir()
        header = ("variant", "accuracy", "ece", "nll", "training_cost")
        files.write_text(folder / "results.csv", csv_of(header, results))
        files.write_text(folder / "curves.csv", csv_of(("arm", "step", "loss", "accuracy"), points))


def _percent(value: float) -> str:
    return _cell(100 * value, 4)


def _cell(value: float, places: int) -> str:
    """A number; what is not finite is an empty cell, since the charts take JSON."""
    return f"{value:.{places}f}" if math.isfinite(value) else ""
