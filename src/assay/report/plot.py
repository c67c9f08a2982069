"""Charts of lines, bands and points: a panel is one pair of axes, small enough for a telephone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

from assay.report import svg
from assay.report.scales import Kind, Scale, between, scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEFT, RIGHT, BOTTOM, CHARACTER = 46, 12, 40, 6.8  # pixels; the last is a letter's typical width
PLACES = ((9, 2), (-9, 2), (6, -9), (-6, -9), (6, 15), (-6, 15), (12, 24), (-12, 24), (12, -22), (-12, -22))
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Series:
    """What one name in the legend stands for.

    Attributes:
        name: in the legend; empty for none.
        x: of each point.
        y: likewise.
        tips: what each point says when pointed at; empty for none.
        low: the band's lower edge; empty for no band.
        high: its upper edge.
        colour: of `svg.LIGHT`; 0 is the grey of what others are compared with.
        line: whether the points are joined.
        marks: whether they are marked.
        dashed: whether the line is.
        labels: texts beside the points; an empty text for none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    tips: Sequence[str] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    colour: int = 1
    line: bool = True
    marks: bool = False
    dashed: bool = False
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: what it shows, with its unit.
        kind: how values are spaced.
        falling: whether the greatest value stands first.
        ends: its ends; else they follow from the values.
    """

    label: str
    kind: Kind = "linear"
    falling: bool = False
    ends: tuple[float, float] | None = None

    def scale(self, values: Sequence[float]) -> Scale:
        """The scale that holds the values; ends that coincide are values like others."""
        return between(self.kind, *self.ends, self.falling) if self.ends else scale(values, self.kind, self.falling)


@dataclass(frozen=True)
class Panel:
    """A pair of axes with what is drawn between them; the size is in pixels.

    A point that has NaN for a number is not drawn, and the panel says how many there are. Infinity is at the edge.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    width: int = 400
    height: int = 270
    size: tuple[int, int] = field(init=False, default=(0, 0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", (self.width, self.height + self._head()))

    def _head(self) -> int:
        """The height of what stands above the axes beside the title."""
        return (16 if self.y.label else 0) + self._legend()[1]

    def _legend(self) -> tuple[list[tuple[float, float, Series]], int]:
        """Where the names stand, and how high they are together."""
        named = [one for one in self.series if one.name]
        if len(named) < 2:
            return [], 0
        places, x, row = [], float(LEFT), 0
        for one in named:
            width = 30 + CHARACTER * len(one.name)
            if x > LEFT and x + width > self.width:
                x, row = float(LEFT), row + 1
            places.append((x, 32.0 + (16 if self.y.label else 0) + 17 * row, one))
            x += width
        return places, 17 * (row + 1)

    def draw(self) -> str:
        """The panel as an `<svg>` element."""
        places, _ = self._legend()
        top, bottom, right = 30 + self._head(), self.height + self._head() - BOTTOM, self.width - RIGHT
        series = [_known(one) for one in self.series]
        across = self.x.scale([x for one in series for x in one.x])
        along = self.y.scale([y for one in series for ys in (one.y, one.low, one.high) for y in ys])

        def place(x: float, y: float) -> tuple[float, float]:
            return LEFT + (right - LEFT) * across.place(x), bottom - (bottom - top) * along.place(y)

        content = [svg.text(2, 16, self.title, "title"), *self._axes(across, along, top, bottom, right)]
        if self.y.label:
            content.append(svg.text(2, 33, self.y.label))
        for x, y, one in places:
            content += [*_key(x, y, one), svg.text(x + 22, y + 4, one.name)]
        for one in series:
            content += _drawn(one, place)
        content += _labels(series, place, (LEFT, top, right, bottom))
        if lost := sum(len(old.x) - len(new.x) for old, new in zip(self.series, series, strict=True)):
            points = "point is" if lost == 1 else "points are"
            content.append(svg.text(LEFT + 4, top + 12, f"{lost} {points} not a finite number"))
        content += [
            svg.hit(*place(x, y), tip)
            for one in series
            for x, y, tip in zip(one.x, one.y, one.tips or ("",) * len(one.x), strict=True)
            if tip
        ]
        return svg.element(*self.size, self.title, content)

    def _axes(self, across: Scale, along: Scale, top: float, bottom: float, right: float) -> list[str]:
        content = []
        for value, shown in along.ticks(5):
            y = bottom - (bottom - top) * along.place(value)
            content += [svg.line(LEFT, y, right, y, "grid"), svg.text(LEFT - 6, y + 4, shown, anchor="end")]
        last = -99.0
        for value, shown in sorted(across.ticks(6), key=lambda tick: across.place(tick[0])):
            x = LEFT + (right - LEFT) * across.place(value)
            if x - last > 5 + CHARACTER * len(shown) and x + CHARACTER * len(shown) / 2 < self.width + 2:
                content += [
                    svg.line(x, bottom, x, bottom + 4, "grid"),
                    svg.text(x, bottom + 17, shown, anchor="middle"),
                ]
                last = x
        content.append(svg.line(LEFT, bottom, right, bottom, "grid"))
        return [*content, svg.text(right, bottom + 33, self.x.label, anchor="end")]


def _known(one: Series) -> Series:
    """The points whose numbers all are such: not NaN."""
    columns = [name for name in ("x", "y", "low", "high", "tips", "labels") if getattr(one, name)]
    numeric = [getattr(one, name) for name in columns if name not in ("tips", "labels")]
    keep = [not any(map(math.isnan, point)) for point in zip(*numeric, strict=True)]
    kept: dict[str, Any] = {name: list(compress(getattr(one, name), keep)) for name in columns}
    return replace(one, **kept)


def _key(x: float, y: float, one: Series) -> list[str]:
    drawn = [svg.line(x, y, x + 16, y, _line_class(one))] if one.line else []
    return [*drawn, svg.markers([(x + 8, y)], one.colour)] if one.marks else drawn


def _line_class(one: Series) -> str:
    return f"line s{one.colour}{' dash' if one.dashed else ''}"


def _drawn(one: Series, place: Callable[[float, float], tuple[float, float]]) -> list[str]:
    content = []
    points = [place(x, y) for x, y in zip(one.x, one.y, strict=True)]
    if one.low:
        upper = [place(x, y) for x, y in zip(one.x, one.high, strict=True)]
        lower = [place(x, y) for x, y in zip(one.x, one.low, strict=True)]
        if len(points) > 1 and one.line:
            content.append(svg.path([*upper, *reversed(lower)], f"band f{one.colour}", close=True))
        else:
            content += [svg.line(*a, *b, f"line s{one.colour}") for a, b in zip(upper, lower, strict=True)]
    if one.line and len(points) > 1:
        content.append(svg.path(points, _line_class(one)))
    if one.marks or len(points) == 1:
        content.append(svg.markers(points, one.colour))
    return content


def _labels(series: Sequence[Series], place: Callable[[float, float], tuple[float, float]], inside: Box) -> list[str]:
    """Texts beside points, each where it covers no other text and no point, if there is such a place."""
    points = [place(x, y) for one in series for x, y in zip(one.x, one.y, strict=True) if one.marks]
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    content = []
    for one in series:
        for x, y, label in zip(one.x, one.y, one.labels or ("",) * len(one.x), strict=True):
            if not label:
                continue
            px, py = place(x, y)
            width = CHARACTER * len(label)
            boxes = [
                (px + dx - (width if dx < 0 else 0), py + dy - 8, px + dx + (0 if dx < 0 else width), py + dy + 4)
                for dx, dy in PLACES
            ]
            free = [box for box in boxes if _within(box, inside) and not any(_overlap(box, other) for other in taken)]
            if free:
                taken.append(free[0])
                content.append(svg.text(free[0][0], free[0][3] - 1, label, "ink ground"))
    return content


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _within(box: Box, outer: Box) -> bool:
    return box[0] >= outer[0] and box[1] >= outer[1] - 4 and box[2] <= outer[2] + RIGHT and box[3] <= outer[3]
