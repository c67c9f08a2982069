"""Accuracy and loss along learned lines and curves of networks (Wortsman et al. 2021, their Figure 2 in form)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.config import BASELINE
from assay.report.charts import Axis
from assay.report.figure import MEANS, Figure, span_cell, table
from assay.report.lines import lines, spread

if TYPE_CHECKING:
    from assay.report.content import Content

ORDER = 6


def figure(content: Content) -> Figure | None:
    """Two charts for each arm that was swept: accuracy and loss, with the baseline's mean beside them."""
    charts, tables = [], {}
    for arm, evaluation in content.evaluations.items():
        sweeps = {name: sweep for name, sweep in evaluation.record.sweeps.items() if sweep.at}
        for name, sweep in sweeps.items():
            title = arm if len(sweeps) == 1 else f"{arm}, {name}"
            where = f"position along it, {sweep.axis}"
            dense = next(iter(content.record(BASELINE).variants.values()))
            at = sweep.at
            for key, label, reference, scale in (
                ("accuracy", "test accuracy, %", dense.accuracy, 100),
                ("nll", "test NLL, nats", dense.nll, 1),
            ):
                own = spread(title, at, getattr(sweep, key), "", scale, 2 if scale == 100 else 4, sweep.axis, colour=1)
                flat = spread("baseline", [at[0], at[-1]], [reference] * 2, "", scale, colour=0, dashed=True)
                kind = "accuracy" if key == "accuracy" else "linear"
                charts.append(lines(title, Axis(where), Axis(label, kind), [flat, own], height=170))  # type: ignore[arg-type]
            rows = [
                (f"{x:g}", [span_cell(accuracy, 100), span_cell(nll, 1, 4)])
                for x, accuracy, nll in zip(at, sweep.accuracy, sweep.nll, strict=True)
            ]
            tables[title] = table(sweep.axis, [("Accuracy", "%"), ("NLL", "nats")], rows)
    if not charts:
        return None
    return Figure(
        "subspaces",
        "Along the subspaces",
        f"Each position is one network. {MEANS}; the dashed line is the baseline.",
        charts,
        tables,
    )
