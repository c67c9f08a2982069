"""Recall of each class with its interval, and what is taken for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt
import numpy as np

from assay.analysis.statistics import share_interval
from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.charts import GROUND, INK, LIGHT, SHAPES, Axis, Figure, Spec, finished, legend, named, picked
from assay.report.tables import Cell, Table, label, table
from assay.scoring.classes import confusion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.report.content import Content
    from assay.report.summary import Row
    from assay.scoring.predictions import Array

ORDER = 4
MOST = 20  # classes that a chart holds
WITH_NUMBERS = 12  # classes up to which the cells of a confusion matrix have room for a number
PAIRS = 15  # of the table of what is confused most
CELL = 22  # pixels


class Recall(NamedTuple):
    """Of a class: the share of its examples, of so many, that are recognised, mean over seeds, with its interval."""

    name: str
    value: float
    interval: tuple[float, float] | None
    examples: int

    @property
    def cell(self) -> Cell:
        """In per cent."""
        low, high = self.interval or (0.0, 0.0)
        span = numbers.span(100 * low, 100 * high, 1) if self.interval else ""
        return Cell(numbers.fixed(100 * self.value, 1), span)


def figure(content: Content) -> Figure | None:
    """Charts of the baseline and the most accurate other variant; tables of all that were trained on clean labels."""
    rows = [row for row in content.clean() if _predictions(content, row).predicted is not None]
    recalls = [_recalls(content, row) for row in rows]
    if not rows:
        return None
    others = [row for row in rows if row.arm != BASELINE]
    shown = [row for row in rows if row.arm == BASELINE][:1]
    shown += [max(others, key=lambda row: row.accuracy)] if others else []
    own = {label(content.rows, row): recalls[rows.index(row)] for row in shown}
    few = len(recalls[0]) <= MOST
    shares = {label(content.rows, row): _shares(content, row) for row in shown}
    charts = [_recall_chart(own)]
    charts += [_matrix(name, each, content.names()) for name, each in shares.items()] if few else []
    tables = {"Recall by class, %" if few else "The worst class": _table(content, rows, recalls, few)}
    if pairs := _pairs(shares, content.names()):
        tables["What is confused most, % of the true class"] = pairs
    which = "the baseline" + (", and the variant that has the highest accuracy here" if others else "")
    about = (
        f"Charts are of {which}. Recall is the share of a class's test examples that are recognised, with its 95 % "
        "interval over seeds and examples, each on its own. Of many classes the one with the least recall looks worse "
        "than it is, since noise helps to choose it; the metric worst-class recall is free of that."
    )
    about += (
        " In a matrix, a row is the true class and a column the prediction; a cell says how many per cent of the row's "
        "examples are given that prediction, mean over seeds. The diagonal is the recall and has no colour; the "
        "stronger the colour of another cell, the more often the two are confused, each matrix by itself."
        if few
        else f" Drawn are the {MOST} classes that the baseline recognises least."
    )
    return Figure("classes", "Classes", about, charts, tables, columns=1)


def _predictions(content: Content, row: Row) -> Any:
    return content.evaluations[row.arm].predictions[row.variant]


def _recalls(content: Content, row: Row) -> list[Recall]:
    """Of each class that the test set has."""
    own, found = _predictions(content, row), []
    for at, name in enumerate(content.names()):
        right = own.correct[:, own.labels == at].astype(np.float64)
        if right.shape[1]:
            interval = share_interval(right, content.record(row.arm).seeds)
            found.append(Recall(name, float(right.mean()), interval, right.shape[1]))
    return found


def _shares(content: Content, row: Row) -> Array:
    """The confusion matrix, mean over seeds, as shares of the true class; NaN for one that the test set lacks."""
    counts = confusion(_predictions(content, row)).mean(0)
    whole = np.zeros([len(content.names())] * 2)
    whole[: len(counts), : len(counts)] = counts
    with np.errstate(invalid="ignore"):
        return whole / whole.sum(1, keepdims=True)  # type: ignore[no-any-return]


def _recall_chart(found: dict[str, list[Recall]]) -> Spec:
    first = next(iter(found.values()))
    names = [one.name for one in first]
    if len(names) > MOST:
        names = [one.name for one in sorted(first, key=lambda one: one.value)[:MOST]]
    points: list[Spec] = []
    for name, recalls in found.items():
        for one in recalls:
            if one.name in names:
                told = f"{one.name}, {name}: {one.cell.value} % [{one.cell.detail}] of {one.examples:,} examples"
                low, high = one.interval or (one.value, one.value)
                points.append(
                    {"name": name, "class": one.name, "tip": told, "value": one.value, "low": low, "high": high}
                )
    places = ("value", "low", "high")
    scale = Axis("recall, %").scale([100 * point[key] for point in points for key in places])
    for point in points:
        point |= {key: scale.place(100 * point[key]) for key in places}
    key = legend(list(found))
    y = alt.Y("class", type="nominal", title=None, scale=alt.Scale(domain=names), axis=_words(190))
    offset = alt.YOffset("name", type="nominal", scale=alt.Scale(domain=list(found)))
    colours = named(alt.Color, found, LIGHT[: len(found)], key)
    shapes = named(alt.Shape, found, SHAPES[: len(found)], key)
    look = {"color": colours, "opacity": picked(1, key), "tooltip": alt.Tooltip("tip:N")}
    base = alt.Chart().encode(y, offset)
    marks = base.mark_point(filled=True, size=55, stroke=GROUND, strokeWidth=1)
    layers = [
        base.mark_rule(strokeWidth=2).encode(scale.channel(alt.X, "low", grid=True), x2=alt.X2("high"), **look),
        marks.encode(scale.channel(alt.X, "value", grid=True), shape=shapes, **look),
    ]
    return finished(layers, points, key, title="Recall by class", width=420, height=(CELL + 6) * len(names))


def _matrix(name: str, shares: Array, names: Sequence[str]) -> Spec:
    cells: list[Spec] = []
    largest = max(float(np.nanmax(np.where(np.eye(len(names)), 0.0, shares), initial=0.0)), 1e-9)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if np.isfinite(share) and share > 0:
                told = f"{names[i]}: {100 * share:.2f} % of its examples are taken for {names[j]}"
                shown = numbers.fixed(100 * share, 1) if len(names) <= WITH_NUMBERS and share >= 5e-4 else ""
                dark = 0.0 if i == j else 0.8 * float(share) / largest
                cells.append({"true": names[i], "given": names[j], "dark": round(dark, 4), "shown": shown, "tip": told})
    domain = alt.Scale(domain=list(names))
    y = alt.Y("true", type="nominal", title="true class", scale=domain, axis=_words(110))
    x = alt.X("given", type="nominal", title="prediction", scale=domain, axis=_words(80, -45))
    tip = alt.Tooltip("tip:N")
    opacity = alt.Opacity("dark", type="quantitative", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None)
    base = alt.Chart().encode(x, y)
    text = base.mark_text(color=INK, fontSize=10).encode(text=alt.Text("shown:N"), tooltip=tip)
    layers = [base.mark_rect(color=LIGHT[2]).encode(opacity=opacity, tooltip=tip), text]
    return finished(layers, cells, None, title=f"{name}: what is taken for what", width=420, height=CELL * len(names))


def _words(limit: int, angle: int = 0) -> Any:
    return alt.Axis(labelColor=INK, labelLimit=limit, labelAngle=angle, labelOverlap=False, grid=False)


def _table(content: Content, rows: Sequence[Row], recalls: Sequence[Sequence[Recall]], few: bool) -> Table:
    """A row a variant: its worst class, and where there are few the recall of every class."""
    lines = []
    for row, own in zip(rows, recalls, strict=True):
        worst = min(own, key=lambda one: one.value)
        lines.append((label(content.rows, row), [worst.name, *([one.cell for one in own] if few else [worst.cell])]))
    each = [(one.name, f"of {one.examples:,}") for one in recalls[0]] if few else [("Its recall", "%")]
    return table("", [("Worst class", "least recall"), *each], lines)


def _pairs(shares: dict[str, Array], names: Sequence[str]) -> Table | None:
    """The pairs of true class and prediction that are most frequent in the mean of the variants."""
    mean = np.nan_to_num(np.mean(list(shares.values()), 0))
    np.fill_diagonal(mean, 0.0)
    places = [divmod(int(at), len(names)) for at in np.argsort(-mean, axis=None, kind="stable")[:PAIRS]]
    lines = [
        (f"{names[i]} → {names[j]}", [numbers.fixed(100 * float(own[i, j]), 2) for own in shares.values()])
        for i, j in places
        if mean[i, j] > 0
    ]
    return table("True class → prediction", [(name, "%") for name in shares], lines) if lines else None
