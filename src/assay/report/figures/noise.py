"""What noisy labels cost: the same arm at each share of replaced training labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assay.report.charts import MEANS, STRETCHED, Axis, Figure
from assay.report.lines import spreads
from assay.report.tables import label, span_cell, table

if TYPE_CHECKING:
    from assay.report.content import Content
    from assay.report.summary import Row

ORDER = 4
SHARE = Axis("share of training labels replaced")


def figure(content: Content) -> Figure | None:
    """A line for each variant that was trained at two shares or more; the test labels are clean."""
    families: dict[str, list[Row]] = {}
    for row in content.rows:
        record = content.record(row.arm)
        same = {key: value for key, value in record.parameters.items() if key != "label_noise"}
        families.setdefault(json.dumps([record.method, row.variant, same], sort_keys=True), []).append(row)
    several = {
        label(content.rows, rows[0]): rows
        for rows in families.values()
        if len({content.noise(row.arm) for row in rows}) > 1
    }
    if not several:
        return None

    def by_share(metric: str) -> dict[str, dict[float, list[float]]]:  # of several arms with the same share the first's
        found = {}
        for name, rows in several.items():
            own = {content.noise(row.arm): getattr(content.variant(row), metric) for row in reversed(rows)}
            found[name] = dict(sorted(own.items()))
        return found

    charts = []
    for title, axis, metric in (
        ("Test accuracy", Axis("test accuracy, %", "accuracy"), "accuracy"),
        ("Calibration error (ECE)", Axis("ECE, as a share"), "ece"),
    ):
        found = {name: list(own.items()) for name, own in by_share(metric).items()}
        charts.append(spreads(title, SHARE, axis, found, " %", 100, 2, "noise", first=0, marks=True))
    levels = sorted({content.noise(row.arm) for row in content.rows})
    cells = [
        (name, [span_cell(own.get(level, []), 100) for level in levels]) for name, own in by_share("accuracy").items()
    ]
    return Figure(
        "label_noise",
        "Robustness to label noise",
        "The same arm, trained on labels of which a share was replaced by random classes, and tested on clean ones. "
        f"{MEANS}.{STRETCHED}",
        [chart for chart in charts if chart],
        {"Test accuracy, %": table("", [(f"{100 * level:g} %", "of labels") for level in levels], cells)},
    )
