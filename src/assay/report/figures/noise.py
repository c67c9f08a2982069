"""What noisy labels cost: the same arm at each share of replaced training labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assay.report.charts import Axis
from assay.report.figure import MEANS, Figure, span_cell, table
from assay.report.lines import spreads
from assay.report.tables import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.report.content import Content
    from assay.report.summary import Row

ORDER = 4
SHARE = "share of training labels replaced"


def figure(content: Content) -> Figure | None:
    """A line for each variant that was trained at two shares or more; the test labels are clean."""
    families: dict[str, list[Row]] = {}
    for row in content.rows:
        record = content.record(row.arm)
        same = {key: value for key, value in record.parameters.items() if key != "label_noise"}
        key = json.dumps([record.method, row.variant, same], sort_keys=True)
        families.setdefault(key, []).append(row)
    several = [rows for rows in families.values() if len({content.noise(row.arm) for row in rows}) > 1]
    if not several:
        return None
    levels = sorted({content.noise(row.arm) for row in content.rows})
    by_name = {label(content.rows, rows[0]): rows for rows in several}
    cells = [
        (name, [span_cell(own[level], 100) if level in own else "" for level in levels])
        for name, own in ((name, _by_share(content, rows, "accuracy")) for name, rows in by_name.items())
    ]
    charts = []
    for title, axis, metric in (
        ("Test accuracy", Axis("test accuracy, %", "accuracy"), "accuracy"),
        ("Calibration error (ECE)", Axis("ECE, as a share"), "ece"),
    ):
        shares = {name: _by_share(content, rows, metric) for name, rows in by_name.items()}
        found = {name: (list(own), list(own.values())) for name, own in shares.items()}
        charts.append(spreads(title, Axis(SHARE), axis, found, " %", 100, 2, "noise", first=0, marks=True))
    return Figure(
        "label_noise",
        "Robustness to label noise",
        "The same arm, trained on labels of which a share was replaced by random classes, and tested on clean ones. "
        f"{MEANS}.",
        [chart for chart in charts if chart],
        {"Test accuracy, %": table("", [(f"{100 * level:g} %", "of labels") for level in levels], cells)},
    )


def _by_share(content: Content, rows: Sequence[Row], metric: str) -> dict[float, list[float]]:
    """The seeds' values at each share of noise, the least first; of several arms with the same share, the first's."""
    found = {content.noise(row.arm): getattr(content.variant(row), metric) for row in reversed(rows)}
    return dict(sorted(found.items()))
