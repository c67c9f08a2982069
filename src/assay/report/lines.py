"""The chart that most figures are made of: lines, bands and marks over a pair of axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

from assay.report import charts, numbers
from assay.report.charts import Axis, Scale, Spec, finished, legend, picked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BAND = 0.18  # its opacity
WIDTHS = (260, 430)  # of the axes on a telephone and on a wide page, in pixels
PLACES = ((9, 4), (-9, 4), (6, -7), (-6, -7), (6, 17), (-6, 17), (12, -20), (-12, -20), (12, 26), (-12, 26))
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Series:
    """What one name in the legend stands for.

    Attributes:
        name: in the legend; no other series of the chart has it.
        x: of each point.
        y: likewise.
        tips: what each point says when pointed at; empty for none.
        low: the band's lower edge; empty for no band.
        high: its upper edge.
        colour: of `LIGHT`, and the shape of its marks; 0 is the grey of what others are compared with.
        line: how points are joined: `linear`, `step-after`, or empty for bars instead of a band.
        marks: whether the points are marked.
        dashed: whether the line is.
        named: whether the name is in the legend.
        labels: texts beside the points; an empty text for none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    tips: Sequence[str] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int = 1
    line: str = "linear"
    marks: bool = False
    dashed: bool = False
    named: bool = True
    labels: Sequence[str] = ()


def lines(
    title: str, x: Axis, y: Axis, series: Sequence[Series], width: int = 350, height: int = 200, keyed: bool = True
) -> Spec:
    """A chart; without `keyed` it has no legend.

    A point that has NaN for a number is left out, and the chart says how many there are; infinity is at the edge.
    """
    import altair as alt

    kept = {one.name: _points(one) for one in series}
    points = [point for own in kept.values() for point in own]
    across = x.scale([point["x"] for point in points])
    along = y.scale([point[key] for point in points for key in ("y", "low", "high") if key in point])
    for point in points:
        point |= {key: (across if key == "x" else along).place(point[key]) for key in PLACED if key in point}
    _label(points, across, along, height)
    lost = sum(len(one.x) for one in series) - len(points)
    notes = [y.label] if y.label else []
    notes += [f"{lost} {'point is' if lost == 1 else 'points are'} not a finite number"] if lost else []

    marked = [one for one in series if one.marks or len(kept[one.name]) == 1]
    symbols: Spec = {} if marked else {"symbolType": "stroke", "symbolSize": 200, "symbolStrokeWidth": 2}
    key = legend([one.name for one in series if one.named], **symbols) if keyed else None
    base = alt.Chart().encode(across.channel(alt.X, "x"))
    here = along.channel(alt.Y, "y", grid=True)
    ends = {"y": along.channel(alt.Y, "low", grid=True), "y2": alt.Y2("high")}

    def named(channel: Any, values: Sequence[Any]) -> Any:
        scale = alt.Scale(domain=list(kept), range=list(values))
        return channel("name", type="nominal", title=None, scale=scale, legend=key)

    coloured = {
        "color": named(alt.Color, [charts.LIGHT[one.colour] for one in series]),
        "opacity": picked(1, key),
    }

    def of(chosen: Sequence[Series]) -> Any:
        return base.transform_filter(alt.FieldOneOfPredicate(field="name", oneOf=[one.name for one in chosen]))

    banded = [one for one in series if one.low and one.line and len(kept[one.name]) > 1]
    barred = [one for one in series if one.low and one not in banded]
    told = [one for one in series if one.tips and one not in marked]
    layers = []
    if banded:
        layers.append(of(banded).mark_area().encode(**ends, **(coloured | {"opacity": picked(BAND, key)})))
    if barred:
        layers.append(of(barred).mark_rule(strokeWidth=2).encode(**ends, **coloured))
    for curve in sorted({one.line for one in series if one.line}):
        line = of([one for one in series if one.line == curve]).mark_line(interpolate=curve, strokeWidth=2)
        dashed = named(alt.StrokeDash, [[5, 4] if one.dashed else [1, 0] for one in series])
        layers.append(line.encode(here, strokeDash=dashed, **coloured))
    if told:
        tips = of(told).mark_point(size=220, opacity=0, filled=True, color=charts.MUTED).properties(name="tips")
        layers.append(tips.encode(here, tooltip=alt.Tooltip("tip:N")))
    if marked:
        shaped = named(alt.Shape, [charts.SHAPES[one.colour] if one in marked else "stroke" for one in series])
        marks = of(marked).mark_point(size=60, filled=True, stroke=charts.GROUND, strokeWidth=1)
        layers.append(marks.encode(here, shape=shaped, tooltip=alt.Tooltip("tip:N"), **coloured))
    if any("dx" in point for point in points):
        place = {name: alt.expr(f"datum.{name}") for name in ("dx", "dy", "align")}
        look = {"color": charts.INK, "baseline": "alphabetic", **place, **charts.HALO}
        texts = base.transform_filter("datum.align").mark_text(**look)
        layers.append(texts.encode(here, text=alt.Text("label:N")))
    layers = layers or [base.mark_point().encode(here)]
    return finished(layers, points, key, title={"text": title, "subtitle": notes}, width=width, height=height)


PLACED = ("x", "y", "low", "high")


def _points(one: Series) -> list[Spec]:
    """The points whose numbers all are such: not NaN."""
    columns = {key: getattr(one, key) for key in PLACED if getattr(one, key)}
    texts = {key: own for key, own in (("tip", one.tips), ("label", one.labels)) if own}
    points = [
        {"name": one.name, **dict(zip((*columns, *texts), own, strict=True))}
        for own in zip(*columns.values(), *texts.values(), strict=True)
    ]
    return list(compress(points, (not any(math.isnan(point[key]) for key in columns) for point in points)))


def _label(points: Sequence[Spec], across: Scale, along: Scale, height: int) -> None:
    """Place texts beside points, each where it covers no text and no point, narrow or wide, if there is such."""
    spots = [
        [(width * across.share(one["x"]), height * (1 - along.share(one["y"]))) for one in points] for width in WIDTHS
    ]
    taken: list[list[Box]] = [[(x - 4, y - 4, x + 4, y + 4) for x, y in own] for own in spots]
    for i, point in enumerate(points):
        long = charts.CHARACTER * len(point.get("label", ""))
        for dx, dy in PLACES if long else ():
            starts = [(x + dx - (long if dx < 0 else 0), y + dy) for x, y in (own[i] for own in spots)]
            boxes: list[Box] = [(x, y - 9, x + long, y + 3) for x, y in starts]
            if all(_free(box, width, height, own) for box, width, own in zip(boxes, WIDTHS, taken, strict=True)):
                for own, box in zip(taken, boxes, strict=True):
                    own.append(box)
                point |= {"dx": dx, "dy": dy, "align": "left" if dx > 0 else "right"}
                break


def _free(box: Box, width: float, height: float, others: Sequence[Box]) -> bool:
    inside = box[0] >= 0 and box[1] >= -4 and box[2] <= width + 12 and box[3] <= height
    return inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in others)


def spread(
    name: str,
    x: Sequence[float],
    by_point: Sequence[Sequence[float]],
    unit: str = "",
    scale: float = 1,
    places: int = 2,
    where: str = "",
    **look: Any,
) -> Series:
    """A line of means over seeds, with a band from the least seed to the greatest.

    Args:
        name: in the legend and in what a point says.
        x: of each point.
        by_point: for each point the seeds' values; a point with a value that is not finite has no mean.
        unit: of the values, for what a point says.
        scale: what the values are multiplied by there; the line shows them as they are.
        places: decimals there.
        where: what x is, for what a point says.
        look: colour, line, dashed, marks, as in `Series`.
    """
    known = [own if all(map(math.isfinite, own)) else [math.nan] for own in by_point]
    means, lows, highs = [[how(own) for own in known] for how in (numbers.mean, min, max)]
    tips = [
        f"{name}{f', {where} {numbers.plain(at)}' if where else ''}: {numbers.fixed(scale * mean, places)}{unit} "
        f"({numbers.span(scale * low, scale * high, places)})"
        for at, mean, low, high in zip(x, means, lows, highs, strict=True)
    ]
    return Series(name, x, means, tips, lows, highs, **look)


def spreads(
    title: str,
    x: Axis,
    y: Axis,
    found: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]]]],
    *how: Any,
    first: int = 1,
    **look: Any,
) -> Spec | None:
    """A chart of `spread` lines, one for each name with points, coloured in their order from `first` on; or None."""
    series = [
        spread(name, at, values, *how, colour=first + i % (len(charts.LIGHT) - first), **look)
        for i, (name, (at, values)) in enumerate(found.items())
        if at
    ]
    return lines(title, x, y, series) if series else None
