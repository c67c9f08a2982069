"""Learning curves: each arm over the baseline, its mean over seeds as a line, their range as a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.config import BASELINE
from assay.reporting import svg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float64
    from matplotlib.axes import Axes

    from assay.evaluation.predictions import Array
    from assay.reporting.curves import Curve

PANEL = 220  # pixels
LEAST_ERROR = 1e-4  # drawn for an error of 0, which a logarithmic axis cannot show


def title(curves: Mapping[str, Mapping[str, Curve]]) -> str:
    """What the chart shows."""
    arms = "each arm over the baseline" if len(curves) > 1 else "the baseline"
    return f"{_split(curves).capitalize()} loss and error while training: {arms}"


def draw(curves: Mapping[str, Mapping[str, Curve]], width: int) -> str:
    """The chart as an `<svg>` element: a row for each arm but the baseline, which is drawn behind every one.

    Args:
        curves: by arm, the baseline first, then split.
        width: in pixels; below 500 loss and error stand one above the other.
    """
    narrow = width < 500
    split = _split(curves)
    shown = [arm for arm in curves if arm != BASELINE] or [BASELINE]
    with svg.drawing():
        drawn = svg.figure(width, PANEL * len(shown) * (2 if narrow else 1), gap=0.1)
        panels = drawn.subplots(2 * len(shown) if narrow else len(shown), 1 if narrow else 2, squeeze=False)
        for arm, (loss, error) in zip(shown, panels.reshape(len(shown), 2), strict=True):
            for name in dict.fromkeys((BASELINE, arm)):
                colour = svg.GREY if name == BASELINE else svg.BLUE
                curve = curves[name].get(split)
                if curve is not None:
                    _band(loss, curve, curve.loss, name, colour)
                    _band(error, curve, 100 * np.maximum(1 - curve.accuracy, LEAST_ERROR), name, colour)
            _axes(loss, f"{split} loss, nats")
            _axes(error, f"{split} error, %")
            loss.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.1), ncols=2, borderaxespad=0, handlelength=1.4)
        for axes in panels[-1]:
            axes.set_xlabel("step")
        return svg.render(drawn, f"curves-{width}", title(curves))


def _split(curves: Mapping[str, Mapping[str, Curve]]) -> str:
    return "validation" if any("validation" in splits for splits in curves.values()) else "train"


def _band(axes: Axes, curve: Curve, values: Float64[Array, "seed point"], label: str, colour: str) -> None:
    axes.fill_between(curve.steps, values.min(0), values.max(0), color=colour, alpha=0.22, lw=0)
    axes.plot(curve.steps, values.mean(0), color=colour, lw=1.8, label=label, solid_joinstyle="round")


def _axes(axes: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    svg.bare(axes, "y")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if high > 20 * low else (1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.01)
    axes.set_title(label, color=svg.MUTED, loc="left")
