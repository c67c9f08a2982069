"""Every variant's difference to the baseline with its interval, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.config import BASELINE
from assay.report.content import groups
from assay.report.figure import Figure
from assay.report.forest import Forest, Line
from assay.report.tables import label

if TYPE_CHECKING:
    from assay.report.content import Content
    from assay.report.summary import Row


def figure(content: Content) -> Figure | None:
    """A panel a group, a line a variant; the numbers are in the table of results."""
    panels = []
    for group in groups(content.rows, content.claims):
        rows = [row for row in content.rows if row.arm in group.arms and row.difference is not None]
        if rows and group.arms != [BASELINE]:
            panels.append(
                Forest(group.title, "difference to the baseline, points", [_line(content, row) for row in rows])
            )
    if not panels:
        return None
    return Figure(
        "differences",
        "Accuracy against the baseline",
        "A small dot is a seed against the same seed of the baseline, the large one their mean, the bar its "
        "95 % interval, each on its own. Charts have scales of their own. Arms with noisy labels are compared with the "
        "clean baseline too.",
        panels,
        {},
    )


def _line(content: Content, row: Row) -> Line:
    baseline = content.record(BASELINE)
    reference = dict(zip(baseline.seeds, next(iter(baseline.variants.values())).accuracy, strict=True))
    own = zip(content.record(row.arm).seeds, content.variant(row).accuracy, strict=True)
    return Line(
        label(content.rows, row),
        100 * (row.difference or 0),
        None if row.difference_low is None else 100 * row.difference_low,
        None if row.difference_high is None else 100 * row.difference_high,
        [100 * (value - reference[seed]) for seed, value in own if seed in reference],
    )
