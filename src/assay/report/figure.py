"""A figure: panels that stand side by side where there is room, what they show, and the same as tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.report import numbers, svg
from assay.report.plot import Series
from assay.report.tables import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.report.figures.claims import Picture
    from assay.report.forest import Forest
    from assay.report.plot import Panel


@dataclass(frozen=True)
class Figure:
    """A section of the report.

    Attributes:
        name: of its file, and of its place in the page.
        title: what it is about.
        caption: how to read it.
        panels: its charts; without any, there is a caption that says why, or tables alone.
        tables: the same in numbers, each under its own heading.
        columns: charts in a row of the file.
        notes: sentences that a reader must not miss, such as flags.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel | Forest | Picture]
    tables: Mapping[str, Table]
    columns: int = 2
    notes: Sequence[str] = ()

    def drawn(self) -> list[str]:
        """The panels as `<svg>` elements."""
        return [panel.draw() for panel in self.panels]

    def file(self) -> str:
        """The panels as one SVG file."""
        return svg.standalone(self.drawn(), [panel.size for panel in self.panels], self.title, self.columns)


def spread(
    name: str,
    x: Sequence[float],
    by_point: Sequence[Sequence[float]],
    unit: str = "",
    scale: float = 1,
    places: int = 2,
    where: str = "",
    **look: object,
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
        look: colour, dashed, marks, as in `Series`.
    """
    known = [own if all(map(math.isfinite, own)) else [math.nan] for own in by_point]
    means, lows, highs = [[how(own) for own in known] for how in (_mean, min, max)]
    tips = [
        f"{name}{f', {where} {numbers.plain(at)}' if where else ''}: {numbers.fixed(scale * mean, places)}{unit} "
        f"({numbers.span(scale * low, scale * high, places)})"
        for at, mean, low, high in zip(x, means, lows, highs, strict=True)
    ]
    return Series(name, x, means, tips, lows, highs, **look)  # type: ignore[arg-type]


def span_cell(values: Sequence[float], scale: float = 1, places: int = 2) -> Cell:
    """The mean of seeds, with the least and the greatest below it; without a mean, how many seeds are not finite."""
    if lost := sum(not math.isfinite(value) for value in values):
        return Cell(numbers.MISSING, f"{lost} of {len(values)} not finite")
    shown = numbers.fixed(scale * _mean(values), places)
    return Cell(shown, numbers.span(scale * min(values), scale * max(values), places) if len(values) > 1 else "")


def table(heading: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[str, Sequence[Cell]]]) -> Table:
    """A table: what its first column holds, then the heading and the note of every other."""
    names, notes = zip(*columns, strict=True)
    return Table((heading, *names), ("", *notes), tuple((name, tuple(cells)) for name, cells in rows))


def _mean(values: Sequence[float]) -> float:
    """The mean; each value is divided first, so that the sum of finite values is finite."""
    return math.fsum(value / len(values) for value in values)
