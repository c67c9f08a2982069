"""What an ensemble gains with its members: independently trained ones, points of a subspace, models of a trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.charts import STRETCHED, Axis, Figure
from assay.report.lines import Series, lines, spread
from assay.report.tables import label, span_cell, table

if TYPE_CHECKING:
    from assay.report.content import Content
    from assay.report.summary import Row

ORDER = 7


def figure(content: Content) -> Figure | None:
    """A line an arm; a chart for each network, since the number of members says nothing of another network's size."""
    by_model: dict[str, dict[str, list[Row]]] = {}
    for row in content.clean():
        if row.combine != "majority_vote":
            arms = by_model.setdefault(content.record(row.arm).model.model_dump_json(), {})
            arms.setdefault(row.arm, []).append(row)
    charts, cells = [], []
    for arms in by_model.values():
        series: list[Series] = []
        for arm, rows in arms.items():
            if max(row.members for row in rows) < 2 and arm != BASELINE:
                continue
            rows.sort(key=lambda row: row.members)
            values = [content.variant(row).accuracy for row in rows]
            colour = 0 if arm == BASELINE else 1 + sum(one.colour > 0 for one in series) % 7
            at = [row.members for row in rows]
            series.append(spread(arm, at, values, " %", 100, where="members", colour=colour, marks=True))
            for row, own in zip(rows, values, strict=True):
                cost = numbers.short(row.training_cost or 0)
                cells.append((label(content.rows, row), [str(row.members), span_cell(own, 100), cost]))
        for arm in arms:
            for name, sweep in content.record(arm).sweeps.items():
                if len(sweep.ensemble_sizes) > 1:
                    title = f"{arm}, points of it" if arm == name else f"{arm}, points of its {name}"
                    colour = 1 + sum(one.colour > 0 for one in series) % 7
                    points = sweep.ensemble_sizes, sweep.ensemble_accuracy
                    series.append(spread(title, *points, " %", 100, 2, "members", colour=colour, dashed=True))
        if any(len(one.x) > 1 for one in series):
            model = content.record(next(iter(arms))).model.name
            x, y = Axis("members", "log"), Axis("test accuracy, %", "accuracy")
            charts.append(lines(f"Ensembles of {model}", x, y, series))
    if not charts:
        return None
    columns = [("Members", "networks"), ("Accuracy", "%"), ("Training cost", "passes")]
    return Figure(
        "members",
        "Ensembles and their members",
        "Probabilities of the members are averaged; dashed lines are ensembles of points along a subspace. Lines are "
        f"means over seeds, bars and bands reach from the least seed to the greatest.{STRETCHED}",
        charts,
        {"Ensembles": table("", columns, cells)},
    )
