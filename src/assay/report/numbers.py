"""Numbers for people: rounded to what their uncertainty supports, with a real minus sign and grouped thousands."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
MISSING = "\N{EM DASH}"
INFINITE = "\N{INFINITY}"


def decimals(uncertainties: Iterable[float], default: int, most: int = 5) -> int:
    """How many decimals a column shows: those that give its typical uncertainty two significant digits.

    An uncertainty is half the spread, or half the interval, of a number in the unit shown. A column without any, such
    as one of a single seed, has the default.
    """
    known = [value for value in uncertainties if 0 < value < math.inf]
    return min(most, max(0, 1 - math.floor(math.log10(median(known))))) if known else default


def not_finite(value: float | None) -> str:
    """What stands for None, NaN or infinity."""
    return MISSING if value is None or math.isnan(value) else INFINITE if value > 0 else MINUS + INFINITE


def fixed(value: float | None, places: int) -> str:
    """`-0.0312` at 2 places as `−0.03`; zero never has a sign, and a number beyond a trillion has an exponent."""
    if value is None or not math.isfinite(value):
        return not_finite(value)
    text = f"{value:.{places}f}" if abs(value) < 1e12 else f"{value:.3g}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float | None, places: int) -> str:
    """Like `fixed`, with a plus sign before positive numbers."""
    text = fixed(value, places)
    return text if not value or text in (MISSING, INFINITE) or text.startswith(MINUS) or not float(text) else f"+{text}"


def span(low: float, high: float, places: int) -> str:
    """From low to high: `97.52–97.78`."""
    return f"{fixed(low, places)}{DASH}{fixed(high, places)}"


def interval(low: float, high: float, places: int) -> str:
    """An interval with signs: `[−0.27, +0.03]`."""
    return f"[{signed(low, places)}, {signed(high, places)}]"


def count(value: float | None) -> str:
    """`180000.0` as `180,000`; a count that is a mean over seeds keeps one decimal, if it has any."""
    if value is None or not math.isfinite(value):
        return not_finite(value)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def plain(value: float) -> str:
    """As short as it can be said: `1`, `0.512`, `2.5`."""
    return f"{value:.4g}" if math.isfinite(value) else not_finite(value)


def amount(value: float, unit: str) -> str:
    """With its unit, given in the plural and perhaps empty: `0.2 points`, `1 point`."""
    return f"{plain(value)} {unit.removesuffix('s') if plain(value) == '1' else unit}".rstrip()


def short(value: float) -> str:
    """`1500000` as `1.5M`."""
    if not math.isfinite(value):
        return not_finite(value)
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:.4g}{letter}"
    return f"{value:.6g}".replace("-", MINUS)


def mean(values: Sequence[float]) -> float:
    """The mean; each value is divided first, so that the sum of finite values is finite."""
    return math.fsum(value / len(values) for value in values)
