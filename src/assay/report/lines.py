"""The chart that most figures are made of: lines, bands and marks over a pair of axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import altair as alt

from assay.report import charts, numbers
from assay.report.charts import Axis, Scale, Spec, finished, legend, named, picked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BAND = 0.18  # its opacity
WIDTHS = (260, 430)  # of the axes on a telephone and on a wide page, in pixels
PLACES = ((9, 4), (-9, 4), (6, -7), (-6, -7), (6, 17), (-6, 17), (12, -20), (-12, -20), (12, 26), (-12, 26))
NUMBERS = ("x", "y", "low", "high")
Box = tuple[float, float, float, float]


class Series(NamedTuple):
    """What one name stands for, which no other series of the chart has; lists have an entry a point, or none.

    Attributes:
        tips: what each point says when pointed at.
        low: the band's lower edge; `high` is its upper one.
        colour: of `LIGHT`, and the shape of its marks; 0 is the grey of what others are compared with.
        line: how points are joined: `linear`, `step-after`, or empty for bars instead of a band.
        marks: whether the points are marked.
        named: whether the name is in the legend.
        labels: texts beside the points; an empty text for none.
        hollow: whether each point's mark is hollow, as those of controls are; their labels are placed last.
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
    hollow: Sequence[bool] = ()

    def points(self) -> list[Spec]:
        """The points whose numbers all are such: not NaN."""
        columns = {key: getattr(self, key) for key in NUMBERS if getattr(self, key)}
        texts = {key: own for key, own in (("tip", self.tips), ("label", self.labels), ("hollow", self.hollow)) if own}
        found = zip(*columns.values(), *texts.values(), strict=True)
        points = [dict(zip((*columns, *texts), own, strict=True)) for own in found]
        return [{"name": self.name} | one for one in points if not any(math.isnan(one[key]) for key in columns)]


def lines(
    title: str, x: Axis, y: Axis, series: Sequence[Series], width: int = 350, height: int = 200, keyed: bool = True
) -> Spec:
    """A chart; without `keyed` it has no legend.

    A point that has NaN for a number is left out, and the chart says how many there are; infinity is at the edge.
    """
    kept = {one.name: one.points() for one in series}
    points = [point for own in kept.values() for point in own]
    across = x.scale([point["x"] for point in points])
    along = y.scale([point[key] for point in points for key in NUMBERS[1:] if key in point])
    for point in points:
        point |= {key: (across if key == "x" else along).place(point[key]) for key in NUMBERS if key in point}
    _label(points, across, along, height)
    lost = sum(len(one.x) for one in series) - len(points)
    notes = [y.label] if y.label else []
    notes += [f"{lost} {'point is' if lost == 1 else 'points are'} not a finite number"] if lost else []

    banded = [one for one in series if one.low and one.line and len(kept[one.name]) > 1]
    barred = [one for one in series if one.low and one not in banded]
    marked = [one for one in series if one.marks or len(kept[one.name]) == 1]
    told = [one for one in series if one.tips and one not in marked]
    symbols: Spec = {} if marked else {"symbolType": "stroke", "symbolSize": 200, "symbolStrokeWidth": 2}
    key = legend([one.name for one in series if one.named], **symbols) if keyed else None
    base = alt.Chart().encode(across.channel(alt.X, "x"))
    here = along.channel(alt.Y, "y", grid=True)
    ends = {"y": along.channel(alt.Y, "low", grid=True), "y2": alt.Y2("high")}
    colours = named(alt.Color, kept, [charts.LIGHT[one.colour] for one in series], key)
    coloured = {"color": colours, "opacity": picked(1, key)}
    tip = alt.Tooltip("tip:N")

    def of(chosen: Sequence[Series]) -> Any:
        return base.transform_filter(alt.FieldOneOfPredicate(field="name", oneOf=[one.name for one in chosen]))

    layers = []
    if banded:
        layers.append(of(banded).mark_area().encode(**ends, color=colours, opacity=picked(BAND, key)))
    if barred:
        layers.append(of(barred).mark_rule(strokeWidth=2).encode(**ends, **coloured))
    for curve in sorted({one.line for one in series if one.line}):
        line = of([one for one in series if one.line == curve]).mark_line(interpolate=curve, strokeWidth=2)
        dashed = named(alt.StrokeDash, kept, [[5, 4] if one.dashed else [1, 0] for one in series], key)
        layers.append(line.encode(here, strokeDash=dashed, **coloured))
    if told:
        tips = of(told).mark_point(size=220, opacity=0, filled=True, color=charts.MUTED).properties(name="tips")
        layers.append(tips.encode(here, tooltip=tip))
    if marked:
        shapes = [charts.SHAPES[one.colour] if one in marked else "stroke" for one in series]
        shape, drawn = named(alt.Shape, kept, shapes, key), of(marked)
        for one in filter(lambda one: any(one.hollow), marked):
            look = {"size": 45, "fill": charts.GROUND, "stroke": charts.LIGHT[one.colour], "strokeWidth": 1.5}
            rings = of([one]).transform_filter("datum.hollow").mark_point(**look)
            layers.append(rings.encode(here, shape=shape, tooltip=tip, opacity=coloured["opacity"]))
            drawn = of(marked).transform_filter("!datum.hollow")
        marks = drawn.mark_point(size=60, filled=True, stroke=charts.GROUND, strokeWidth=1)
        layers.append(marks.encode(here, shape=shape, tooltip=tip, **coloured))
    if any("dx" in point for point in points):
        place = {name: alt.expr(f"datum.{name}") for name in ("dx", "dy", "align")}
        look = {"color": charts.INK, "baseline": "alphabetic", **place, **charts.HALO}
        layers.append(base.transform_filter("datum.align").mark_text(**look).encode(here, text=alt.Text("label:N")))
    layers = layers or [base.mark_point().encode(here)]
    return finished(layers, points, key, title={"text": title, "subtitle": notes}, width=width, height=height)


def _label(points: Sequence[Spec], across: Scale, along: Scale, height: int) -> None:
    """Place texts beside points, each where it covers no text and no point, narrow or wide, if there is such."""

    def free(box: Box, width: float, others: Sequence[Box]) -> bool:
        inside = box[0] >= 0 and box[1] >= -4 and box[2] <= width + 12 and box[3] <= height
        return inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in others)

    spots = [
        [(width * across.share(one["x"]), height * (1 - along.share(one["y"]))) for one in points] for width in WIDTHS
    ]
    taken: list[list[Box]] = [[(x - 4, y - 4, x + 4, y + 4) for x, y in own] for own in spots]
    for i, point in sorted(enumerate(points), key=lambda one: one[1].get("hollow", False)):
        long = charts.CHARACTER * len(point.get("label", ""))
        for dx, dy in PLACES if long else ():
            starts = [(x + dx - (long if dx < 0 else 0), y + dy) for x, y in (own[i] for own in spots)]
            boxes: list[Box] = [(x, y - 9, x + long, y + 3) for x, y in starts]
            if all(map(free, boxes, WIDTHS, taken)):
                for own, box in zip(taken, boxes, strict=True):
                    own.append(box)
                point |= {"dx": dx, "dy": dy, "align": "left" if dx > 0 else "right"}
                break


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
    """A line of means over seeds, with a band from the least seed to the greatest; `look` is as in `Series`.

    `by_point` has the seeds' values of each point; one with a value that is not finite has no mean. The line shows the
    values as they are; what a point says has them times `scale`, with so many decimals and a unit, and what x is.
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
    found: Mapping[str, Sequence[tuple[float, Sequence[float]]]],
    *how: Any,
    first: int = 1,
    **look: Any,
) -> Spec | None:
    """A chart of `spread` lines, one for each name with points, coloured in their order from `first` on; or None.

    A point is its x, then the values of its seeds.
    """
    series = []
    for i, (name, points) in enumerate(found.items()):
        if points:
            at, values = zip(*points, strict=True)
            series.append(spread(name, at, values, *how, colour=first + i % (len(charts.LIGHT) - first), **look))
    return lines(title, x, y, series) if series else None
