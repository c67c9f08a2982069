"""Reliability diagrams: how often a network is right when it says that it is so sure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.charts import Axis, Figure, Spec
from assay.report.lines import Series, lines
from assay.report.tables import Cell, Table, label, span_cell, table
from assay.scoring.metrics import ECE_BINS, METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.report.content import Content
    from assay.report.summary import Row

ORDER = 3
FEWEST = 30  # examples in a bin: below, its share says little
MOST = 7  # lines that one chart can hold


def figure(content: Content) -> Figure | None:
    """A chart a group; the baseline is in each of them."""
    clean = [row for row in content.clean() if content.variant(row).reliability]
    reference = [row for row in clean if row.arm == BASELINE][:1]
    charts, tables, undrawn = [], {}, []
    for title, arms in content.groups.items():
        own = [row for row in clean if row.arm in arms and row.arm != BASELINE]
        shown = [*reference, *thinned(own, MOST)]
        if own or (len(clean) == len(reference) and reference):
            tables[title] = _table(content, shown)
            if any(count >= FEWEST for row in shown for count, _, _ in content.variant(row).reliability):
                charts.append(_chart(content, title, shown))
            else:
                undrawn.append(title)
    if scaled := _scaled(content, clean):
        tables["After temperature scaling"] = scaled
    left_out = f" So there is no chart of: {', '.join(undrawn)}." if undrawn else ""
    about = (
        f"Predictions fall into {ECE_BINS} equal bins of confidence, all seeds together; on the dashed line a network "
        "is right as often as it says. Below it, it is too sure. Bins with fewer than "
        f"{FEWEST} examples are left out of the charts.{left_out}"
    )
    about += (
        " The last table has the errors after temperature scaling: one temperature a seed, fitted on the validation "
        "set; above 1, the variant was too sure."
        if scaled
        else " No temperature was fitted, for want of a validation set."
    )
    return Figure("calibration", "Calibration", about, charts, tables) if tables else None


def _scaled(content: Content, rows: Sequence[Row]) -> Table | None:
    """Temperatures, and each metric that has a control, as it is and after scaling; None without a validation set."""
    rows = [row for row in rows if content.variant(row).temperature]
    columns = [("Temperature", "mean (seeds)")]
    cells = [[span_cell(content.variant(row).temperature)] for row in rows]
    for control, about in METRICS.items():
        if before := METRICS.get(about.control_of):
            columns += [(before.label, before.unit), ("scaled", before.unit)]
            for row, own in zip(rows, cells, strict=True):
                pair = row.of(about.control_of), row.of(control)
                own += [Cell(numbers.fixed(one and about.scale * one, about.decimals)) for one in pair]
    lines = [(label(content.rows, row), own) for row, own in zip(rows, cells, strict=True)]
    return table("", columns, lines) if lines else None


def thinned(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows: the first variant of each arm, then evenly spaced of these, always with the last."""
    if len(rows) <= most:
        return list(rows)
    firsts = [row for i, row in enumerate(rows) if row.arm not in {other.arm for other in rows[:i]}]
    if len(firsts) <= most:
        return firsts
    return [firsts[round(i * (len(firsts) - 1) / (most - 1))] for i in range(most)]


def _chart(content: Content, title: str, rows: Sequence[Row]) -> Spec:
    series: list[Series] = []
    for row in rows:
        name = label(content.rows, row)
        bins = [(sure, right, count) for count, sure, right in content.variant(row).reliability if count >= FEWEST]
        tips = [
            f"{name}: {100 * right:.1f} % right at {100 * sure:.1f} % sure ({count:,})" for sure, right, count in bins
        ]
        colour = 0 if row.arm == BASELINE else 1 + sum(one.colour > 0 for one in series)
        points = [sure for sure, _, _ in bins], [right for _, right, _ in bins]
        series.append(Series(name, *points, tips, colour=colour, marks=True))
    low = min((value for one in series for value in (*one.x, *one.y)), default=0.0)
    ends = min(0.9, math.floor(10 * low) / 10), 1.0
    series.insert(0, Series("as sure as right", ends, ends, colour=0, dashed=True, named=False))
    return lines(title, Axis("confidence", ends=ends), Axis("share that is right", ends=ends), series, height=220)


def _table(content: Content, rows: Sequence[Row]) -> Table:
    found = []
    for k in range(ECE_BINS):
        own = [content.variant(row).reliability[k] for row in rows]
        if any(count for count, _, _ in own):
            cells = [Cell(numbers.fixed(100 * right, 1), f"{count:,}") if count else "" for count, _, right in own]
            found.append((f"{100 * k // ECE_BINS}{numbers.DASH}{100 * (k + 1) // ECE_BINS} %", cells))
    return table("Confidence", [(label(content.rows, row), "% right (examples)") for row in rows], found)
