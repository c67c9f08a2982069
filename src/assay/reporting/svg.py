"""The look of the charts, and charts as SVG text: the same bytes every time, readable on light and dark ground.

A chart is drawn in the light colours. A style sheet inside it swaps them where the reader prefers dark, so it needs no
second file, and a viewer that knows no style sheets still shows a correct chart. Text stays text: it can be selected,
searched and read aloud, and takes the reader's font.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from markupsafe import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion, told apart by every kind of colour vision, and greys; on dark ground lighter kin.
INK, MUTED, GRID, BLUE, GREY = "#1f2328", "#59636e", "#d8dee4", "#0072b2", "#818b98"
DARK = {INK: "#e6edf3", MUTED: "#9aa5b1", GRID: "#343b44", BLUE: "#56b4e9", GREY: "#8b96a3"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
CORNERS = 'stroke-linejoin="round" stroke-linecap="butt"'
INCHES_PER_PIXEL = 1 / 72  # matplotlib's SVG has 72 units an inch; a page shows one unit as one pixel

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, and is wide: what fits with it fits with the reader's font
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.titlesize": 12,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
}


def style_sheet() -> str:
    """The CSS that a chart needs, alone or inside a page: the reader's font, and the dark colours."""
    rules = "".join(
        f'svg [style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    return f"svg text{{font-family:{FONT}!important}}@media screen and (prefers-color-scheme:dark){{{rules}}}"


@contextmanager
def drawing() -> Iterator[None]:
    """Inside, matplotlib draws in the style above, whatever the user's own settings are."""
    import matplotlib.style  # slow to import

    with matplotlib.style.context(["default", STYLE]):
        yield


def figure(width: int, height: int, gap: float = 0.02) -> Figure:
    """An empty figure of this size in pixels, whose parts arrange themselves; `gap` is a share of a panel's height."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(wspace=0.06, hspace=gap)
    return Figure(figsize=(width * INCHES_PER_PIXEL, height * INCHES_PER_PIXEL), layout=layout)


def render(drawn: Figure, name: str, title: str) -> str:
    """An `<svg>` element that carries a title for readers who cannot see it.

    Args:
        drawn: the figure.
        name: makes the identifiers inside unique, so that several charts can stand in one page.
        title: what the chart shows.
    """
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        drawn.savefig(stream, format="svg")
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)  # the date, and a version
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<style[^>]*>.*?</style>\s*", "", text, flags=re.DOTALL)  # it would style a whole page
    referenced = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in referenced else "", text)
    return text.replace(">", f' role="img" {CORNERS}>\n <title>{escape(title)}</title>', 1)


def standalone(element: str, width: int) -> str:
    """A chart as a file of its own: sized, and with its style sheet inside."""
    sized = element.replace("<svg", f'<svg width="{width}"', 1)
    end = sized.index("</title>") + len("</title>")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{sized[:end]}\n <style>{style_sheet()}</style>{sized[end:]}'


def bare(axes: Axes, grid: Literal["x", "y"]) -> None:
    """Grid lines along one axis only: `x` draws them across the horizontal axis, `y` across the vertical."""
    axes.grid(visible=False)
    axes.grid(visible=True, axis=grid)
