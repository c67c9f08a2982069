"""The look of the charts: colours for light and dark ground, and SVG text that is the same bytes every time.

Colours are classes, so that a page's style sheet (or the one inside a file of its own) can swap them where the reader
prefers dark. Text stays text: it can be selected, searched and read aloud, and takes the reader's font.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
# grey for what others are compared with; then Okabe and Ito's colours, told apart by every kind of colour vision
LIGHT = ("#6e7781", "#0072b2", "#c4520a", "#00805e", "#a8508a", "#8a6d00", "#1f2328", "#3d8fc4")
DARK = ("#9aa5b1", "#56b4e9", "#f0904a", "#2cc295", "#e29acb", "#e6c34a", "#e6edf3", "#0072b2")
COLOURS = len(LIGHT)
MARKERS = (  # drawn from the point that they mark
    "m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
    "m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
    "m-3.6,-3.6h7.2v7.2h-7.2z",
    "m0,-5l4.6,8.4h-9.2z",
    "m0,-5l4.6,5l-4.6,5l-4.6,-5z",
    "m0,5l4.6,-8.4h-9.2z",
    "m-4.4,-1.5h2.9v-2.9h3v2.9h2.9v3h-2.9v2.9h-3v-2.9h-2.9z",
    "m-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
)


def style_sheet() -> str:
    """The CSS of all charts, alone or inside a page."""

    def colours(palette: Sequence[str], ink: str, muted: str, rule: str, ground: str) -> str:
        own = "".join(f"--c{i}:{colour};" for i, colour in enumerate(palette))
        return f"svg.plot{{{own}--p-ink:{ink};--p-muted:{muted};--p-rule:{rule};--p-ground:{ground}}}"

    classes = "".join(
        f".plot .f{i}{{fill:var(--c{i})}}.plot .s{i}{{stroke:var(--c{i});fill:none}}" for i in range(COLOURS)
    )
    return (
        f"{colours(LIGHT, '#1f2328', '#59636e', '#d8dee4', '#ffffff')}"
        f".plot text{{font-family:{FONT};fill:var(--p-muted);font-size:12px}}"
        ".plot .ink{fill:var(--p-ink)}"
        ".plot .ground{stroke:var(--p-ground);stroke-width:3px;paint-order:stroke}"
        ".plot .title{fill:var(--p-ink);font-weight:600;font-size:13px}"
        ".plot .grid{stroke:var(--p-rule);stroke-width:1}.plot .line{stroke-width:2;stroke-linejoin:round}"
        ".plot .dash{stroke-dasharray:5 4}.plot .band{opacity:.18}.plot .halo{stroke:var(--p-ground);stroke-width:1}"
        f".plot .paper{{fill:var(--p-ground)}}.plot .hit{{fill:transparent}}{classes}"
        "@media screen and (prefers-color-scheme:dark){"
        f"{colours(DARK, '#e6edf3', '#9aa5b1', '#343b44', '#0f1419')}}}"
    )


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """A text element."""
    classes = f' class="{kind}"' if kind else ""
    place = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{number(x)}" y="{number(y)}"{classes}{place}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f'<line {ends} class="{kind}"/>'


def path(points: Sequence[tuple[float, float]], kind: str, close: bool = False) -> str:
    """A line through points, or the area inside them."""
    ends = "L".join(f"{number(x)},{number(y)}" for x, y in points)
    return f'<path d="M{ends}{"Z" if close else ""}" class="{kind}"/>'


def markers(points: Sequence[tuple[float, float]], colour: int, shape: int | None = None) -> str:
    """Marks whose shape belongs to their colour, unless another is named, so that no chart rests on colour alone."""
    drawn = MARKERS[colour if shape is None else shape]
    return f'<path d="{"".join(f"M{number(x)},{number(y)}{drawn}" for x, y in points)}" class="f{colour} halo"/>'


def hit(x: float, y: float, tip: str) -> str:
    """An invisible circle that says what is there when the pointer rests on it."""
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="7" class="hit"><title>{escape(tip)}</title></circle>'


def element(width: float, height: float, label: str, content: Sequence[str]) -> str:
    """A chart: `label` is what it shows, for readers who cannot see it."""
    head = f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}"'
    return "\n".join([f'{head} role="img" aria-label="{escape(label)}">', *content, "</svg>"])


def standalone(elements: Sequence[str], sizes: Sequence[tuple[float, float]], label: str, columns: int) -> str:
    """Charts as a file of its own: side by side in rows of `columns`, sized, with their style sheet inside."""
    width = max(w for w, _ in sizes)
    placed, top = [], 0.0
    for start in range(0, len(elements), columns):
        row = slice(start, start + columns)
        for column, (one, (w, h)) in enumerate(zip(elements[row], sizes[row], strict=True)):
            place = (
                f'<svg x="{number(column * (width + 20))}" y="{number(top)}" width="{number(w)}" height="{number(h)}"'
            )
            placed.append(one.replace("<svg", place, 1))
        top += max(h for _, h in sizes[row]) + 12
    whole = width * min(columns, len(elements)) + 20 * (min(columns, len(elements)) - 1)
    size = f'width="{number(whole)}" height="{number(top)}"'
    head = f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" {size} role="img"'
    ground = '<rect width="100%" height="100%" class="paper"/>'  # the page around it may be dark where it is not
    sheet = f"<style>{style_sheet()}</style>"
    lines = [f"{head}>", f"<title>{escape(label)}</title>", sheet, ground, *placed, "</svg>"]
    return '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(lines) + "\n"
