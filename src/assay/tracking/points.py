"""Curves as MLflow wants them: one series a split and quantity, the mean over seeds at each step."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from assay.analysis import curves

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Point(NamedTuple):
    """One point of one series, such as `validation_loss` at step 300."""

    series: str
    step: int
    value: float


def read_points(*paths: Path, first: str | None = None) -> list[Point]:
    """Read a file of curves, or those of all blocks of an arm.

    Raises:
        AssayError: a file is missing or not a table of curves.
    """
    return points_of([row for path in paths for row in curves.rows(path)], first)


def points_of(rows: Iterable[curves.Row], first: str | None = None) -> list[Point]:
    """The points by step, then by series.

    The rows of a pruning round belong to `round-<n>/<variant>`: the series of the first variant keep their plain
    names, those of the others end in the variant's name, as the metrics of the test set do.

    Args:
        rows: of the arm.
        first: the variant whose series keep their plain names; the first that the rows name where None.
    """
    sums: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        variant = row.arm.partition("/")[2]
        first = first or variant
        suffix = f".{variant}" if variant not in ("", first) else ""
        for quantity, value in (("loss", row.loss), ("accuracy", row.accuracy)):
            if value is not None:
                sums[row.step, f"{row.split}_{quantity}{suffix}"].append(value)
    return [Point(series, step, sum(values) / len(values)) for (step, series), values in sorted(sums.items())]
