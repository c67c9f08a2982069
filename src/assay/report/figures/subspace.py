"""Accuracy and loss along learned lines and curves of networks (Wortsman et al. 2021, their Figure 2 in form)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report.charts import MEANS, STRETCHED, Axis, Figure
from assay.report.lines import lines, spread
from assay.report.tables import span_cell, table

if TYPE_CHECKING:
    from assay.report.content import Content

ORDER = 6
CHARTS = (  # axis, metric, and for what a point says: factor and decimals
    (Axis("test accuracy, %", "accuracy"), "accuracy", 100, 2),
    (Axis("test NLL, nats"), "nll", 1, 4),
)


def figure(content: Content) -> Figure | None:
    """Two charts for each arm that was swept: accuracy and loss, with the baseline's mean beside them."""
    charts, tables = [], {}
    for arm, evaluation in content.evaluations.items():
        sweeps = {name: sweep for name, sweep in evaluation.record.sweeps.items() if sweep.at}
        for name, sweep in sweeps.items():
            title = arm if len(sweeps) == 1 else f"{arm}, {name}"
            x, at = Axis(f"position along it, {sweep.axis}"), sweep.at
            for y, key, scale, places in CHARTS:
                reference = getattr(content.baseline(), key)
                own = spread(title, at, getattr(sweep, key), "", scale, places, sweep.axis, colour=1)
                flat = spread("baseline", [at[0], at[-1]], [reference] * 2, "", scale, colour=0, dashed=True)
                charts.append(lines(title, x, y, [flat, own], height=170))
            rows = [
                (f"{x:g}", [span_cell(accuracy, 100), span_cell(nll, 1, 4)])
                for x, accuracy, nll in zip(at, sweep.accuracy, sweep.nll, strict=True)
            ]
            tables[title] = table(sweep.axis, [("Accuracy", "%"), ("NLL", "nats")], rows)
    about = f"Each position is one network. {MEANS}; the dashed line is the baseline.{STRETCHED}"
    return Figure("subspaces", "Along the subspaces", about, charts, tables) if charts else None
