"""Learning curves: a small chart for each arm, over the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.charts import MEANS, STRETCHED, Axis, Figure
from assay.report.lines import Series, lines, spread
from assay.report.tables import span_cell, table

if TYPE_CHECKING:
    from assay.analysis.curves import Curve
    from assay.report.content import Content

ORDER = 9
MOST_POINTS = 30


def figure(content: Content) -> Figure | None:
    """Accuracy on the validation set (without one, on the training set) while training."""
    split = "validation" if any("validation" in splits for splits in content.curves.values()) else "train"
    arms = [arm for group in content.groups.values() for arm in group if arm != BASELINE]
    found: dict[str, Curve] = {}
    for arm in (BASELINE, *arms):
        first = next(iter(content.record(arm).variants))  # has curves of its own where it trained as a copy
        own = content.curves.get(f"{arm}/{first}") or content.curves.get(arm, {})
        if split in own:
            found[arm] = own[split]
    charts, rows = [], []
    for arm, curve in found.items():
        if arm != BASELINE or not arms:
            under = [_line(found[BASELINE], BASELINE, 0)] if BASELINE in found and arm != BASELINE else []
            series = [*under, _line(curve, arm, 1)]
            charts.append(lines(arm, Axis("step"), Axis("", "accuracy"), series, width=220, height=110, keyed=False))
        cells = [
            numbers.count(float(curve.steps[-1])),
            span_cell(curve.accuracy[:, -1].tolist(), 100),
            span_cell(curve.loss[:, -1].tolist(), 1, 4),
            span_cell(curve.loss.min(1).tolist(), 1, 4),
            span_cell([float(step) for step in curve.steps[curve.loss.argmin(1)]], 1, 0),
        ]
        rows.append((arm, cells))
    if not charts:
        return None
    columns = [("Steps", "in all"), ("Accuracy", "at the end, %"), ("Loss", "at the end, nats"), ("Least loss", "nats")]
    return Figure(
        "learning_curves",
        "Learning curves",
        f"Accuracy on the {split} set, %: each arm in blue over the baseline in grey. {MEANS}.{STRETCHED}",
        charts,
        {f"On the {split} set": table("", [*columns, ("Least loss", "at step")], rows)},
        columns=3,
    )


def _line(curve: Curve, name: str, colour: int) -> Series:
    chosen = np.unique(np.linspace(0, len(curve.steps) - 1, min(MOST_POINTS, len(curve.steps))).round().astype(int))
    steps = [float(step) for step in curve.steps[chosen]]
    return spread(name, steps, curve.accuracy[:, chosen].T.tolist(), " %", 100, where="step", colour=colour)
