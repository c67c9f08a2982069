"""Learning curves: a small chart for each arm, over the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.analysis.curves import of_variant
from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.charts import Axis
from assay.report.content import groups
from assay.report.figure import MEANS, Figure, span_cell, table
from assay.report.lines import lines, spread

if TYPE_CHECKING:
    from assay.analysis.curves import Curve
    from assay.report.content import Content
    from assay.report.lines import Series
    from assay.report.tables import Table

ORDER = 9
MOST_POINTS = 30


def figure(content: Content) -> Figure | None:
    """Accuracy on the validation set (without one, on the training set) while training."""
    split = "validation" if any("validation" in splits for splits in content.curves.values()) else "train"
    shown = [arm for group in groups(content.rows, content.claims) for arm in group.arms if arm != BASELINE] or [
        BASELINE
    ]
    found = {arm: of_variant(content.curves, arm, _first(content, arm)).get(split) for arm in (BASELINE, *shown)}
    reference = found[BASELINE]
    charts = []
    for arm in shown:
        series = []
        if reference is not None and arm != BASELINE:
            series.append(_line(reference, BASELINE, 0))
        own = found[arm]
        if own is not None:
            series.append(_line(own, arm, 1))
            size = {"width": 220, "height": 110}
            charts.append(lines(arm, Axis("step"), Axis("", "accuracy"), series, **size, keyed=False))
    if not charts:
        return None
    return Figure(
        "learning_curves",
        "Learning curves",
        f"Accuracy on the {split} set, in %, while training: each arm in blue over the baseline in grey. {MEANS}.",
        charts,
        {f"On the {split} set": _table({arm: one for arm, one in found.items() if one is not None})},
        columns=3,
    )


def _first(content: Content, arm: str) -> str:
    return next(iter(content.record(arm).variants))


def _line(curve: Curve, name: str, colour: int) -> Series:
    chosen = np.unique(np.linspace(0, len(curve.steps) - 1, min(MOST_POINTS, len(curve.steps))).round().astype(int))
    steps = [float(step) for step in curve.steps[chosen]]
    values = [list(map(float, curve.accuracy[:, i])) for i in chosen]
    return spread(name, steps, values, " %", 100, where="step", colour=colour)


def _table(curves: dict[str, Curve]) -> Table:
    found = []
    for arm, curve in curves.items():
        best = curve.loss.argmin(1)
        cells = [
            numbers.count(float(curve.steps[-1])),
            span_cell(list(curve.accuracy[:, -1]), 100),
            span_cell(list(curve.loss[:, -1]), 1, 4),
            span_cell(list(curve.loss.min(1)), 1, 4),
            span_cell([float(step) for step in curve.steps[best]], 1, 0),
        ]
        found.append((arm, cells))
    columns = [
        ("Steps", "in all"),
        ("Accuracy", "at the end, %"),
        ("Loss", "at the end, nats"),
        ("Least loss", "nats"),
        ("Least loss", "at step"),
    ]
    return table("", columns, found)
