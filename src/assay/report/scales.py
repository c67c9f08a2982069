"""Axes: where a value stands between the two ends of a chart, and which values are worth a line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assay.report import numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["linear", "log", "accuracy"]
LEAST_ERROR = 1e-4  # an accuracy of 1 has no place on a logarithmic scale of errors
ACCURACIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985,
              0.99, 0.992, 0.994, 0.995, 0.996, 0.997, 0.998, 0.999, 0.9995, 0.9999, 1.0)  # fmt: skip
LEAST, LARGEST = 1e-100, 1e100  # what is nearer to 0 has no logarithm here, and what is farther counts as infinite
NARROW = 1e-6  # of linear values themselves, of a decade of others: a narrower spread is none
ROOM = {"linear": 0.05, "log": 0.05, "accuracy": 0.5}  # around values without spread, likewise


@dataclass(frozen=True)
class Scale:
    """From values to 0 to 1.

    Attributes:
        kind: `accuracy` spaces shares as the logarithm of one minus them, and shows them in per cent.
        low: the least value shown.
        high: the greatest.
        falling: whether the greatest value stands first.
    """

    kind: Kind
    low: float
    high: float
    falling: bool = False

    def place(self, value: float) -> float:
        """Where a value stands: 0 to 1 inside the ends, a little beyond them for anything outside, infinity included.

        Raises:
            ValueError: it is NaN, which stands nowhere.
        """
        if math.isnan(value):
            raise ValueError("NaN has no place on a scale")
        low, high, own = (_straight(self.kind, one) for one in (self.low, self.high, value))
        share = min(1.02, max(-0.02, (own - low) / (high - low)))
        return 1 - share if self.falling else share

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Values for lines, with their texts."""
        if self.kind == "accuracy":
            inside = [value for value in ACCURACIES if self.low <= value <= self.high]
            chosen = self._spaced(inside, most) if len(inside) > 1 else _round_steps(self.low, self.high, most)
            return [(value, f"{100 * value:.6g}") for value in chosen]
        if self.kind == "log":
            values = _log_ticks(self.low, self.high, most)
        else:
            values = _round_steps(self.low, self.high, most)
        return [(value, short(value)) for value in values]

    def _spaced(self, values: Sequence[float], most: int) -> list[float]:
        """Those of the values that stand well apart, from the greatest down."""
        chosen: list[float] = []
        for value in reversed(values):
            if not chosen or abs(self.place(value) - self.place(chosen[-1])) > 0.7 / most:
                chosen.append(value)
        return chosen


def scale(values: Iterable[float], kind: Kind = "linear", falling: bool = False, pad: float = 0.06) -> Scale:
    """A scale that holds the finite values, with a little room around them; without any it goes from 0.5 to 1."""
    least = LEAST if kind == "log" else -LARGEST
    known = [value if abs(value) >= LEAST else 0.0 for value in values if least <= value <= LARGEST] or [0.5, 1.0]
    low, high = (_straight(kind, end) for end in (min(known), max(known)))
    room = (
        pad * (high - low) if _apart(kind, low, high) else ROOM[kind] * (abs(high) if kind == "linear" and high else 1)
    )
    low, high = low - room, high + room
    if kind == "linear":
        low = 0.0 if min(known) >= 0 > low else low
        return Scale(kind, low, high, falling)
    if kind == "log":
        return Scale(kind, 10**low, 10**high, falling)
    most = 1 - 10**-high
    return Scale(kind, max(0.0, 1 - 10**-low), 1.0 if 1 - most <= LEAST_ERROR / 2 else most, falling)


def between(kind: Kind, low: float, high: float, falling: bool = False) -> Scale:
    """A scale with these ends; where they coincide it is one that holds them."""
    apart = low < high and _apart(kind, _straight(kind, low), _straight(kind, high))
    return Scale(kind, low, high, falling) if apart else scale((low, high), kind, falling)


def short(value: float) -> str:
    """`1500000` as `1.5M`."""
    if not math.isfinite(value):
        return numbers.not_finite(value)
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:.4g}{letter}"
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def _apart(kind: Kind, low: float, high: float) -> bool:
    """Whether two straightened values differ so much that a chart can show it."""
    return high - low > NARROW * (max(abs(low), abs(high)) if kind == "linear" else 1)


def _straight(kind: Kind, value: float) -> float:
    if kind == "log":
        return math.log10(value) if value > 0 else -math.inf
    return -math.log10(min(1.0, max(1 - value, LEAST_ERROR / 2))) if kind == "accuracy" else value


def _round_steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    size = 10 ** math.floor(math.log10(rough))
    step = next(one * size for one in (1, 2, 5, 10) if one * size >= rough)
    return [round(k * step, 12) + 0.0 for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for subs in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        values = [sub * 10.0**decade for decade in decades for sub in subs]
        inside = [float(f"{value:.3g}") for value in values if low <= value <= high]
        if len(inside) <= most:
            return inside if len(inside) > 1 else _round_steps(low, high, most)
    return inside[:: math.ceil(len(inside) / most)]
