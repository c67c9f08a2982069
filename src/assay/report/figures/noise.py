"""What noisy labels cost: the same arm at each share of replaced training labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assay.report.figure import Figure, span_cell, spread, table
from assay.report.plot import Axis, Panel
from assay.report.tables import Cell, label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.report.content import Content
    from assay.report.plot import Series
    from assay.report.summary import Row

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
    cells = []
    for rows in several:
        found = _by_share(content, rows, "accuracy")
        shown = [span_cell(found[level], 100) if level in found else Cell("") for level in levels]
        cells.append((label(content.rows, rows[0]), shown))
    panels = [
        Panel(title, Axis(SHARE), axis, _lines(content, several, metric))
        for title, axis, metric in (
            ("Test accuracy", Axis("test accuracy, %", "accuracy"), "accuracy"),
            ("Calibration error (ECE)", Axis("ECE, as a share"), "ece"),
        )
    ]
    return Figure(
        "label_noise",
        "Robustness to label noise",
        "The same arm, trained on labels of which a share was replaced by random classes, and tested on clean ones. "
        "Lines are means over seeds, bands reach from the least seed to the greatest.",
        panels,
        {"Test accuracy, %": table("", [(f"{100 * level:g} %", "of labels") for level in levels], cells)},
    )


def _by_share(content: Content, rows: Sequence[Row], metric: str) -> dict[float, list[float]]:
    """The seeds' values at each share of noise, the least first; of several arms with the same share, the first's."""
    return dict(
        sorted({content.noise(row.arm): getattr(content.variant(row), metric) for row in reversed(rows)}.items())
    )


def _lines(content: Content, families: Sequence[Sequence[Row]], metric: str) -> list[Series]:
    series = []
    for i, rows in enumerate(families):
        found = _by_share(content, rows, metric)
        name, values = label(content.rows, rows[0]), list(found.values())
        series.append(spread(name, list(found), values, " %", 100, where="noise", colour=i % 8, marks=True))
    return series
