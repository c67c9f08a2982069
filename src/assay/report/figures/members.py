"""What an ensemble gains with its members: independently trained ones, points of a subspace, models of a trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.config import BASELINE
from assay.report.figure import Figure, span_cell, spread, table
from assay.report.plot import Axis, Panel
from assay.report.scales import short
from assay.report.tables import Cell, label

if TYPE_CHECKING:
    from assay.report.content import Content
    from assay.report.plot import Series
    from assay.report.summary import Row


def figure(content: Content) -> Figure | None:
    """A line an arm; a chart for each network, since the number of members says nothing of another network's size."""
    by_model: dict[str, dict[str, list[Row]]] = {}
    for row in content.clean():
        if row.combine != "majority_vote":
            arms = by_model.setdefault(content.record(row.arm).model.model_dump_json(), {})
            arms.setdefault(row.arm, []).append(row)
    panels, lines = [], []
    for arms in by_model.values():
        series: list[Series] = []
        for arm, rows in arms.items():
            if max(row.members for row in rows) < 2 and arm != BASELINE:
                continue
            ordered = sorted(rows, key=lambda row: row.members)
            values = [content.variant(row).accuracy for row in ordered]
            at = [row.members for row in ordered]
            colour = 0 if arm == BASELINE else 1 + sum(one.colour > 0 for one in series) % 7
            series.append(spread(arm, at, values, " %", 100, where="members", colour=colour, marks=True))
            lines += [
                (
                    label(content.rows, row),
                    [Cell(str(row.members)), span_cell(own, 100), Cell(short(row.training_cost or 0))],
                )
                for row, own in zip(ordered, values, strict=True)
            ]
        for arm in arms:
            for name, sweep in content.record(arm).sweeps.items():
                if len(sweep.ensemble_sizes) > 1:
                    title = f"{arm}, points of it" if arm == name else f"{arm}, points of its {name}"
                    colour = 1 + sum(one.colour > 0 for one in series) % 7
                    found = spread(
                        title,
                        sweep.ensemble_sizes,
                        sweep.ensemble_accuracy,
                        " %",
                        100,
                        where="members",
                        colour=colour,
                        dashed=True,
                    )
                    series.append(found)
        if any(len(one.x) > 1 for one in series):
            model = content.record(next(iter(arms))).model.name
            x, y = Axis("members", "log"), Axis("test accuracy, %", "accuracy")
            panels.append(Panel(f"Ensembles of {model}", x, y, series))
    if not panels:
        return None
    columns = [("Members", "networks"), ("Accuracy", "%"), ("Training cost", "passes")]
    return Figure(
        "members",
        "Ensembles and their members",
        "Probabilities of the members are averaged; dashed lines are ensembles of points along a subspace. Lines are "
        "means over seeds, bars and bands reach from the least seed to the greatest.",
        panels,
        {"Ensembles": table("", columns, lines)},
    )
