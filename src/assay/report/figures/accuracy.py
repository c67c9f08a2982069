"""Every variant's difference to the baseline with its interval, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.charts import GROUND, INK, LIGHT, Axis, Figure, Spec, finished
from assay.report.tables import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.report.content import Content
    from assay.report.summary import Row

ORDER = 2
PLACES = ("seed", "value", "low", "high")


def figure(content: Content) -> Figure | None:
    """A chart a group, a line a variant; the numbers are in the table of results."""
    charts = []
    for title, arms in content.groups.items():
        rows = [row for row in content.rows if row.arm in arms and row.difference is not None]
        if rows and arms != [BASELINE]:
            charts.append(_chart(content, title, rows))
    about = (
        "A small dot is a seed against the same seed of the baseline, the large one their mean, the bar its "
        "95 % interval, each on its own. Charts have scales of their own. Arms with noisy labels are compared with the "
        "clean baseline too."
    )
    return Figure("differences", "Accuracy against the baseline", about, charts, {}) if charts else None


def _chart(content: Content, title: str, rows: Sequence[Row]) -> Spec:
    reference = dict(zip(content.record(BASELINE).seeds, content.baseline().accuracy, strict=True))
    points: list[Spec] = []
    for row in rows:
        name = label(content.rows, row)
        own = zip(content.record(row.arm).seeds, content.variant(row).accuracy, strict=True)
        points += [{"name": name, "seed": value - reference[seed]} for seed, value in own if seed in reference]
        ends = {"value": row.difference, "low": row.difference_low, "high": row.difference_high}
        known = {key: value for key, value in ends.items() if value is not None}
        interval = f" {numbers.interval(100 * known['low'], 100 * known['high'], 2)}" if len(known) == 3 else ""
        told = f"{name}: {numbers.signed(100 * (row.difference or 0), 2)}{interval}"
        points.append({"name": name, "tip": told, **known})
    values = [100 * point[key] for point in points for key in PLACES if key in point]
    scale = Axis("difference to the baseline, points").scale([0.0, *values])
    for point in points:
        point |= {key: scale.place(100 * point[key]) for key in PLACES if key in point}
    names = alt.Scale(domain=[label(content.rows, row) for row in rows])
    y = alt.Y("name", type="nominal", title=None, scale=names, axis=alt.Axis(labelColor=INK, labelLimit=190))

    def x(field: str) -> Any:
        return scale.channel(alt.X, field, grid=True)

    def of(field: str) -> Any:
        return alt.Chart().transform_filter(f"isValid(datum.{field})").encode(x(field), y)

    tip = {"tooltip": alt.Tooltip("tip:N")}
    layers = [
        alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color=LIGHT[0], strokeWidth=2).encode(x("zero")),
        of("low").mark_rule(color=LIGHT[1], strokeWidth=2).encode(x2=alt.X2("high"), **tip),
        of("seed").mark_circle(color=LIGHT[0], size=13, opacity=1),
        of("value").mark_circle(color=LIGHT[1], size=60, opacity=1, stroke=GROUND, strokeWidth=1).encode(**tip),
    ]
    return finished(layers, points, None, title=title, width=250, height=22 * len(rows))
