"""What all charts share: the palette, Vega-Lite's configuration, axes, the legend; and a figure, made of charts.

Colours are those of a light ground; `style_sheet` replaces them where the reader prefers a dark one.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import altair as alt
from markupsafe import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assay.report.tables import Table

Spec = dict[str, Any]  # a chart, as Vega-Lite's JSON
# grey for what others are compared with; then Okabe and Ito's colours, told apart by every kind of colour vision
LIGHT = ("#6e7781", "#0072b2", "#c4520a", "#00805e", "#a8508a", "#8a6d00", "#1f2328", "#3d8fc4")
DARK = ("#9aa5b1", "#56b4e9", "#f0904a", "#2cc295", "#e29acb", "#e6c34a", "#e6edf3", "#0072b2")
SHAPES = ("circle", "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
INK, MUTED, RULE, GROUND = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
IN_DARK = {**dict(zip(LIGHT, DARK, strict=True)), MUTED: "#9aa5b1", RULE: "#343b44", GROUND: "#0f1419"}
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # the first is inside vl-convert: the same widths everywhere
CONFIG: Spec = {
    "background": GROUND,
    "font": FONT,
    "padding": 3,
    "mark": {"aria": False},
    "view": {"stroke": None},
    "concat": {"spacing": 24},
    "title": {"anchor": "start", "frame": "bounds", "color": INK, "fontSize": 13, "fontWeight": "bold", "offset": 8,
              "subtitleColor": MUTED, "subtitleFontSize": 12, "subtitlePadding": 4},
    "axis": {"labelColor": MUTED, "titleColor": MUTED, "gridColor": RULE, "domainColor": RULE, "tickColor": RULE,
             "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelOverlap": "greedy"},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "legend": {"labelColor": MUTED, "labelFontSize": 12, "labelLimit": 280, "symbolSize": 60, "offset": 8},
}  # fmt: skip
HALO: Spec = {"fontSize": 12, "stroke": GROUND, "strokeWidth": 3, "strokeJoin": "round"}  # of texts over other marks
LEAST_ERROR = 5e-5  # an accuracy of 1 has no place on a logarithmic scale of errors
LEAST, LARGEST = 1e-100, 1e100  # what is nearer to 0 counts as 0, and what is farther as infinite
NARROW, PAD = 1e-6, 0.06  # a spread, relative or in decades, that counts as none; the room around one
NUMBER = "abs(datum.value) >= 1e4 ? format(datum.value, '.4~s') : format(datum.value, '.6~g')"
PERCENT = f"datum.value <= {1.01 * LEAST_ERROR} ? '100' : format(100 * (1 - datum.value), '.6~g')"
CHARACTER, LEGEND = 6.4, 310  # pixels: a letter's typical width, and the room for a legend
MOST_TICKS = 6
alt.data_transformers.consolidate_datasets = False  # a chart is whole on its own
MEANS = "Lines are means over seeds, bands reach from the least seed to the greatest"
STRETCHED = " Accuracy is spaced by the logarithm of the error: its axis stretches towards 100 %."


def style_sheet() -> str:
    """CSS for charts in a page or in a file of their own: the colours of a dark ground, halos below their letters."""
    rules = (f'svg [{what}="{own}"]{{{what}:{dark}}}' for own, dark in IN_DARK.items() for what in ("fill", "stroke"))
    return f"svg text{{paint-order:stroke}}@media screen and (prefers-color-scheme:dark){{{''.join(rules)}}}"


class Axis(NamedTuple):
    """An axis.

    Attributes:
        label: what it shows, with its unit.
        kind: how values are spaced; `accuracy` spaces shares by the logarithm of one minus them, shown in per cent.
        falling: whether the greatest value stands first.
        ends: its ends; else they follow from the values.
    """

    label: str
    kind: Literal["linear", "log", "accuracy"] = "linear"
    falling: bool = False
    ends: tuple[float, float] | None = None

    def scale(self, values: Iterable[float]) -> Scale:
        """The scale that holds the finite values with a little room; without any it goes from 0.5 to 1."""
        least = LEAST if self.kind == "log" else -LARGEST
        known = [value for value in self.ends or values if least <= value <= LARGEST] or [0.5, 1.0]
        low, high = sorted(map(self.encoded, (min(known), max(known))))
        if self.ends and low < high:
            return Scale(self, low, high)
        if self.kind == "linear":
            wide = high - low > NARROW * max(abs(low), abs(high))
            room = PAD * (high - low) if wide else 0.05 * (abs(high) or 1)
            return Scale(self, 0.0 if low >= 0 > low - room else low - room, high + room)
        decades = math.log10(high) - math.log10(low)
        factor = 10 ** (PAD * decades if decades > NARROW else 0.5 if self.kind == "accuracy" else 0.05)
        if self.kind == "accuracy":
            return Scale(self, max(low / factor, LEAST_ERROR), min(high * factor, 1.0))
        return Scale(self, low / factor, high * factor)

    def encoded(self, value: float) -> float:
        """The number that the chart's data hold: of an accuracy the share of errors."""
        if self.kind == "accuracy":
            return min(1.0, max(1 - value, LEAST_ERROR))
        return value if abs(value) >= LEAST else 0.0


class Scale(NamedTuple):
    """An axis with its ends, as encoded."""

    axis: Axis
    low: float
    high: float

    @property
    def backwards(self) -> bool:
        """Whether the greatest encoded value stands first."""
        return self.axis.falling != (self.axis.kind == "accuracy")

    def place(self, value: float) -> float:
        """The encoded value; what lies outside, infinity included, is placed at the end."""
        return min(self.high, max(self.low, float(f"{self.axis.encoded(value):.7g}")))

    def share(self, placed: float) -> float:
        """How far from the axis's start a placed value stands: 0 to 1."""
        ends = self.low, self.high, placed
        low, high, own = ends if self.axis.kind == "linear" else map(math.log10, ends)
        share = (own - low) / (high - low)
        return 1 - share if self.backwards else share

    def channel(self, channel: Any, field: str, grid: bool = False) -> Any:
        """An encoding: `channel` is `alt.X` or `alt.Y`."""
        linear = self.axis.kind == "linear"
        ticks = [] if linear else self._ticks()
        look = {
            "grid": grid, "titleAnchor": "start" if self.backwards else "end", "titleAlign": "right", "tickCount": 5,
            "labelExpr": PERCENT if self.axis.kind == "accuracy" else NUMBER, **({"values": ticks} if ticks else {}),
        }  # fmt: skip
        ends = [self.low, self.high]
        scale = alt.Scale(type="linear" if linear else "log", domain=ends, reverse=self.backwards)
        title = self.axis.label if channel is alt.X else None  # that of y stands above the chart
        return channel(field, type="quantitative", title=title, scale=scale, axis=alt.Axis(**look))

    def _ticks(self) -> list[float]:
        """Round values of a logarithmic scale; none where it spans too little for two."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        inside: list[float] = []
        for subs in ((1, 1.5, 2, 2.5, 3, 4, 5, 7), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = (float(f"{sub}e{decade}") for decade in decades for sub in subs)
            inside = [value for value in found if self.low <= value <= self.high]
            if len(inside) <= MOST_TICKS:
                break
        inside = inside[:: math.ceil(len(inside) / MOST_TICKS) or 1]
        if self.axis.kind == "accuracy" and self.low <= LEAST_ERROR:
            inside = [self.low, *(value for value in inside if value > 2 * LEAST_ERROR)]
        return inside if len(inside) > 1 else []


def legend(names: Sequence[str], **more: Any) -> Any:
    """A legend above the chart, in as many columns as have room; None for fewer than two names."""
    widths = {n: sum(24 + 5.9 * max(map(len, names[i::n])) for i in range(n)) for n in range(2, len(names) + 1)}
    columns = max((n for n, width in widths.items() if width <= LEGEND), default=1)
    look = {"orient": "top", "columns": columns, "symbolOpacity": 1, **more}
    return alt.Legend(values=list(names), **look) if len(names) > 1 else None


def named(channel: Any, names: Iterable[str], values: Iterable[Any], key: Any) -> Any:
    """An encoding of the field `name`, a value for each; `key` is the legend."""
    scale = alt.Scale(domain=list(names), range=list(values))
    return channel("name", type="nominal", title=None, scale=scale, legend=key)


def picked(full: float, key: Any) -> Any:
    """An opacity: full, unless another name is picked in the legend."""
    more = {} if key is None else {"condition": {"param": "pick", "value": full}}
    return alt.OpacityValue(full if key is None else full / 6, **more)


def finished(layers: Sequence[Any], rows: Sequence[Spec], key: Any, **look: Any) -> Spec:
    """The layers over their data; with a legend, its names can be picked there."""
    if key is not None:
        layers = [*layers[:-1], layers[-1].add_params(alt.selection_point(name="pick", fields=["name"], bind="legend"))]
    # put together here, since Altair's own layering and data copy everything many times
    parts = [layer.to_dict(validate=False) for layer in layers]
    for part in parts:
        del part["$schema"], part["config"]
        if part.get("data") == {"values": [{}]}:  # what Altair has for no data
            del part["data"]
    return {"layer": parts, "data": {"values": list(rows)}, **look}


@dataclass(frozen=True)
class Figure:
    """A section of the report.

    Attributes:
        name: of its file, and of its place in the page.
        caption: how to read it.
        charts: in Vega-Lite; without any, there is a caption that says why, or tables alone.
        tables: the same in numbers, each under its own heading.
        columns: charts in a row of the file.
        notes: sentences that a reader must not miss, such as flags.
        narrow: charts for the page on a narrow screen, where they are others.
    """

    name: str
    title: str
    caption: str
    charts: Sequence[Spec]
    tables: Mapping[str, Table]
    columns: int = 2
    notes: Sequence[str] = ()
    narrow: Sequence[Spec] = ()

    def specs(self, narrow: bool = False) -> list[str]:
        """Each chart as JSON, as wide as its place in a page, with nothing that ends a script."""
        fitted = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
        wide = [chart | fitted for chart in (self.narrow if narrow else self.charts)]
        return [json.dumps(spec, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c") for spec in wide]

    def file(self) -> str:
        """The charts as one SVG file with a title and the colours of both grounds."""
        import vl_convert

        def still(part: Spec) -> Spec:  # without what only a pointer needs
            if "condition" in part:
                return {"value": part["condition"]["value"]}
            if "layer" in part:
                part["layer"] = [one for one in part["layer"] if one.get("name") != "tips"]
            return {key: value for key, value in part.items() if key not in ("params", "tooltip", "tip")}

        own = dict.fromkeys(("color", "shape", "strokeDash"), "independent")
        spec = {"concat": list(self.charts), "columns": self.columns, "resolve": {"scale": own}}
        drawn = json.loads(json.dumps(spec, allow_nan=False), object_hook=still)
        head, rest = vl_convert.vegalite_to_svg(drawn, config=CONFIG).split(">", 1)
        return f"{head}><title>{escape(self.title)}</title><style>{style_sheet()}</style>{rest}\n"
