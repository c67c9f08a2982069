"""The one picture: the interval of every claim that was tested, against what matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from assay.report import charts, numbers, verdicts
from assay.report.charts import Figure, Spec, finished, legend, named, picked
from assay.report.content import paper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.analysis.claims import ClaimRecord
    from assay.report.content import Content

ORDER = 0
ROW, MOST_CHARACTERS = 19, 44  # pixels of a line, and so many of a claim's name are shown
REACH = 5  # what lies farther from 0 stands at the end, as an arrow
LOOKS = {"reproduced": (1, 1), "refuted": (2, 2), "negligible": (3, 3), "undecided": (0, 4)}  # colour and shape


def figure(content: Content) -> Figure | None:
    """The picture; None where no claim was tested."""
    found = [claim for claim in content.claims if claim.tested]
    if not found:
        return None
    return Figure(
        "claims",
        "Every claim against what matters",
        "A line is a claim, its bar the interval that decides, in the claim's direction and divided by the smallest "
        "difference that matters; ratios by the logarithm of their bound. Shaded: the claim is true. Dashed: what "
        "matters. A refuted bar ends before the dashed line (in a claim of no loss, before the shade), a negligible "
        f"one lies in the shade and ends before the dashed line. An arrow: farther than {REACH}.",
        [_picture(found)],
        {},
        columns=1,
        narrow=[_picture(found, narrow=True)],
    )


def _picture(claims: Sequence[ClaimRecord], narrow: bool = False) -> Spec:
    """The claims by paper: a line each, or on a narrow screen two, the name above its bar."""
    rows: list[Spec] = []
    y = 0
    for key in dict.fromkeys(claim.paper for claim in claims):
        rows.append({"y": y, "head": paper(key).topic})
        for claim in (one for one in claims if one.paper == key):
            y += 2 if narrow else 1
            rows.append(_line(claim, y, y - narrow))
        y += 1
    left = 0 if narrow else 10 + charts.CHARACTER * max(len(row.get("text", "")) for row in rows)
    looks = {name: look for name, look in LOOKS.items() if any(claim.verdict == name for claim in claims)}
    key = legend(list(looks), offset=26)
    domain = alt.Scale(domain=[-REACH, REACH], nice=False)
    down = alt.Scale(domain=[-0.5, y - 0.5], reverse=True, nice=False)
    ticks = alt.Axis(values=list(range(-REACH, REACH + 1)), gridColor=charts.RULE, format="d")
    colours = named(alt.Color, looks, [charts.LIGHT[colour] for colour, _ in looks.values()], key)
    shape = named(alt.Shape, looks, [charts.SHAPES[shape] for _, shape in looks.values()], key)
    coloured = {"color": colours, "opacity": picked(1, key)}
    tip = alt.Tooltip("tip:N")

    def x(field: str) -> Any:
        title = "gain in the claim's direction ÷ what matters"
        return alt.X(field, type="quantitative", title=title, axis=ticks, scale=domain)

    def at(field: str) -> Any:
        return alt.Y(field, type="quantitative", scale=down, axis=None)

    def of(test: str) -> Any:
        return alt.Chart().transform_filter(test)

    shade = of("isValid(datum.low)").mark_rect(color=charts.LIGHT[1], opacity=0.18)
    bars = of("isValid(datum.low)").mark_rule(strokeWidth=2)
    layers = [
        shade.encode(x("edge"), at("top"), x2=alt.X2Datum(REACH), y2=alt.Y2("end")),
        bars.encode(x("low"), at("y"), x2=alt.X2("high"), tooltip=tip, **coloured),
    ]
    for value, dash, text, align in ((0, [1, 0], "no difference", "right"), (1, [5, 4], "what matters", "left")):
        here = alt.Chart(alt.Data(values=[{"x": value}])).encode(x("x"))
        words = here.mark_text(text=text, align=align, dx=2 - 5 * (value == 0), color=charts.MUTED, fontSize=12)
        layers += [here.mark_rule(color=charts.LIGHT[0], strokeDash=dash), words.encode(alt.YValue(-7))]
    for end, arrow, dx in ((-REACH, "triangle-left", -3), (REACH, "triangle-right", 3)):
        far = of(f"datum.low == {end} || datum.high == {end}")
        far = far.mark_point(shape=arrow, filled=True, size=60, xOffset=dx)
        layers.append(far.encode(at("y"), alt.XValue(0 if end < 0 else "width"), **coloured))
    bare = of("datum.name && !isValid(datum.low)").mark_text(text="no interval", color=charts.MUTED, fontSize=12)
    layers.append(bare.encode(at("y"), alt.XDatum(0)))
    for field, edge, (align, dx), ink in (
        ("text", 0, ("left", 0) if narrow else ("right", -12), {"color": alt.ColorValue(charts.INK)}),
        ("told", "width", ("right", 0) if narrow else ("left", 9), coloured),
    ):
        words = of(f"datum.{field}").mark_text(align=align, dx=dx, **charts.HALO)
        layers.append(words.encode(at("words"), alt.XValue(edge), text=alt.Text(f"{field}:N"), **ink))
    bold = charts.HALO | {"align": "left", "color": charts.INK, "fontWeight": "bold", "fontSize": 13}
    heads = of("datum.head").mark_text(**bold)
    layers.append(heads.encode(at("y"), alt.XValue(-left), text=alt.Text("head:N")))
    marks = of("isValid(datum.estimate)").mark_point(filled=True, size=60, stroke=charts.GROUND, strokeWidth=1)
    layers.append(marks.encode(x("estimate"), at("y"), shape=shape, tooltip=tip, **coloured))
    title = f"{len(claims)} tested" if narrow else verdicts.headline(claims)
    return finished(layers, rows, key, title=title, width=300 if narrow else 650 - left, height=ROW * y)


def _line(claim: ClaimRecord, y: int, words: int) -> Spec:
    """What a claim's line is drawn from; without an interval, its words."""
    text = claim.id if len(claim.id) <= MOST_CHARACTERS else f"{claim.id[: MOST_CHARACTERS - 1]}…"
    told = f"{verdicts.MARKS[claim.verdict]} {claim.verdict}"
    line: Spec = {"name": claim.verdict, "y": y, "words": words, "text": text, "told": told}
    at = verdicts.standing(claim)
    if at is None:
        return line
    ends = {"low": at.low, "high": at.high, "edge": at.edge}
    line |= {key: min(REACH, max(-REACH, value)) for key, value in ends.items()}
    line |= {"top": y - 0.42, "end": y + 0.42} | ({"estimate": at.estimate} if abs(at.estimate) <= REACH else {})
    shown = f"{numbers.signed(at.estimate, 1)} {numbers.interval(at.low, at.high, 1)}"
    return line | {"tip": f"{claim.id}, {claim.verdict}: {shown} times what matters"}
