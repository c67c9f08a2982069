"""What noisy labels cost: the same arm at each share of replaced training labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assay.reporting.figure import Figure, span_cell, spread, table
from assay.reporting.plot import Axis, Panel, Series
from assay.reporting.tables import Cell, label

if TYPE_CHECKING:
    from assay.reporting.content import Content
    from assay.reporting.summary import Row

SHARE = "share of training labels replaced"


def figure(content: Content) -> Figure | None:
    """A line for each variant that was trained at two shares or more; the test labels are clean."""
    families: dict[str, list[Row]] = {}
    for row in content.rows:
        record = content.record(row.arm)
        same = {key: value for key, value in record.parameters.items() if key != "label_noise"}
        key = json.dumps([record.method, row.variant, same], sort_keys=True)
        families.setdefault(key, []).append(row)
    levels = sorted({content.noise(row.arm) for row in content.rows})
    lines, cells = [], []
    for rows in families.values():
        found = {content.noise(row.arm): content.variant(row).accuracy for row in reversed(rows)}
        if len(found) < 2:
            continue
        name = label(content.rows, rows[0])
        at = sorted(found)
        lines.append((name, at, [found[one] for one in at]))
        shown = [span_cell(found[level], 100) if level in found else None for level in levels]
        cells.append((name, [cell or Cell("") for cell in shown]))
    if not lines:
        return None
    series = [
        spread(name, at, values, " %", 100, where="noise", colour=i % 8, marks=True)
        for i, (name, at, values) in enumerate(lines)
    ]
    return Figure(
        "label_noise",
        "Robustness to label noise",
        "The same arm, trained on labels of which a share was replaced by random classes, and tested on clean ones. "
        "Lines are means over seeds, bands reach from the least seed to the greatest.",
        [
            Panel("Test accuracy", Axis(SHARE), Axis("test accuracy, %", "accuracy"), series),
            _calibration(content, families, series),
        ],
        {"Test accuracy, %": table("", [(f"{100 * level:g} %", "of labels") for level in levels], cells)},
    )


def _calibration(content: Content, families: dict[str, list[Row]], accuracy: list[Series]) -> Panel:
    series: list[Series] = []
    for rows in families.values():
        found = {content.noise(row.arm): content.variant(row).ece for row in reversed(rows)}
        if len(found) > 1:
            name, at = label(content.rows, rows[0]), sorted(found)
            colour = accuracy[len(series)].colour
            series.append(
                spread(name, at, [found[one] for one in at], " %", 100, where="noise", colour=colour, marks=True)
            )
    return Panel("Calibration error (ECE)", Axis(SHARE), Axis("ECE, as a share"), series)
