"""A chart of intervals: a line for each name, a bar from its low end to its high one, and dots for the seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.report import numbers, svg
from assay.report.scales import scale

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW, TOP, BOTTOM, RIGHT, CHARACTER = 22, 30, 40, 14, 7


@dataclass(frozen=True)
class Line:
    """A name with its estimate, the interval's ends (None where there is none), and each seed's value."""

    name: str
    value: float
    low: float | None
    high: float | None
    seeds: Sequence[float]


@dataclass(frozen=True)
class Forest:
    """A panel of lines over one axis, with a rule at 0."""

    title: str
    label: str
    lines: Sequence[Line]
    width: int = 400

    @property
    def size(self) -> tuple[int, int]:
        """In pixels."""
        return self.width, TOP + ROW * len(self.lines) + BOTTOM

    def draw(self) -> str:
        """The panel as an `<svg>` element."""
        left = min(0.5 * self.width, 14 + CHARACTER * max(len(line.name) for line in self.lines))
        right, bottom = self.width - RIGHT, TOP + ROW * len(self.lines)
        ends = [end for line in self.lines for end in (line.low, line.high, line.value, *line.seeds) if end is not None]
        across = scale([0.0, *ends]) if min(ends) < 0 else scale([0.0, *ends], pad=0.1)

        def place(value: float) -> float:
            return left + (right - left) * across.place(value)

        content = [svg.text(2, 16, self.title, "title"), svg.text(right, bottom + 33, self.label, anchor="end")]
        for value, shown in across.ticks(5):
            content += [svg.line(place(value), TOP, place(value), bottom, "grid"),
                        svg.text(place(value), bottom + 16, shown, anchor="middle")]  # fmt: skip
        content.append(svg.line(place(0), TOP, place(0), bottom, "line s0"))
        for i, line in enumerate(self.lines):
            y = TOP + ROW * (i + 0.5)
            content.append(svg.text(left - 8, y + 4, line.name, "ink", anchor="end"))
            if line.low is not None and line.high is not None:
                content.append(svg.line(place(line.low), y, place(line.high), y, "line s1"))
            content += [
                f'<circle cx="{svg.number(place(one))}" cy="{svg.number(y)}" r="2" class="f0"/>' for one in line.seeds
            ]
            content += [svg.markers([(place(line.value), y)], 1), svg.hit(place(line.value), y, _tip(line))]
        return svg.element(*self.size, self.title, content)


def _tip(line: Line) -> str:
    interval = f" {numbers.interval(line.low, line.high, 2)}" if line.low is not None and line.high is not None else ""
    return f"{line.name}: {numbers.signed(line.value, 2)}{interval}"
