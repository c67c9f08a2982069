"""Test accuracy: a dot for every seed, and beside it the difference to the baseline with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.reporting import svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

TITLE = "Test accuracy of every seed, and the difference to the baseline"
ROW, NARROW_ROW, MARGIN = 34, 44, 56  # pixels


def draw(labels: Sequence[str], accuracies: Sequence[Sequence[float]], differences: Sequence[Gap], width: int) -> str:
    """The chart as an `<svg>` element; below 500 pixels its two halves stand one above the other.

    Args:
        labels: a row each, from top to bottom; the first is the baseline.
        accuracies: of each row's seeds, 0 to 1.
        differences: of each row: estimate, low and high, as a share; None where there is none.
        width: in pixels.
    """
    narrow = width < 500
    with svg.drawing():
        row = NARROW_ROW if narrow else ROW
        height = MARGIN + row * len(labels)
        drawn = svg.figure(width, 2 * height if narrow else height)
        left, right = drawn.subplots(2, 1) if narrow else drawn.subplots(1, 2, sharey=True)
        for axes in (left, right):
            _rows(axes, labels, narrow)
        for y, (values, gap) in enumerate(zip(accuracies, differences, strict=True)):
            colour = svg.BLUE if y else svg.GREY
            shares = [100 * value for value in values]
            left.plot(shares, [y] * len(shares), "o", color=colour, ms=7, alpha=0.55, mew=0)
            mean = sum(shares) / len(shares)
            reach = 0.16 if narrow else 0.26
            left.plot([mean, mean], [y - reach, y + reach], color=colour, lw=2, solid_capstyle="butt")
            _gap(right, y, gap, colour)
        left.set_xlabel("test accuracy, %")
        right.set_xlabel("difference to baseline, points" if narrow else "difference to baseline, percentage points")
        right.update_datalim([(0, 0)])
        right.autoscale_view()
        for y in range(len(labels)):  # no difference; the line leaves room for the labels that stand above the rows
            right.plot([0, 0], [y - (0.16 if narrow else 0.5), y + 0.5], color=svg.GREY, lw=1.2, zorder=1)
        return svg.render(drawn, f"accuracy-{width}", TITLE)


Gap = tuple[float | None, float | None, float | None]


def _rows(axes: Axes, labels: Sequence[str], narrow: bool) -> None:
    """A line for each row, with its label before it, or above it where there is no room beside."""
    svg.bare(axes, "x")
    axes.set_ylim(len(labels) - 0.5, -0.75 if narrow else -0.5)
    axes.set_yticks(range(len(labels)), ["" if narrow else label for label in labels])
    axes.tick_params(axis="y", labelcolor=svg.INK)
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=5)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0)
    if narrow:
        for y, label in enumerate(labels):
            axes.text(0, y - 0.36, label, transform=axes.get_yaxis_transform(), va="center", fontsize=11)


def _gap(axes: Axes, y: int, gap: Gap, colour: str) -> None:
    estimate, low, high = gap
    if low is not None and high is not None:
        axes.plot([100 * low, 100 * high], [y, y], color=colour, lw=2.5, solid_capstyle="round")
    if estimate is not None:
        axes.plot([100 * estimate], [y], "o", color=colour, ms=8, mew=0)
