"""Curves as MLflow wants them: one series a split and quantity, the mean over seeds at each step."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from pathlib import Path

QUANTITIES = ("loss", "accuracy")


class Point(NamedTuple):
    """One point of one series, such as `validation_loss` at step 300."""

    series: str
    step: int
    value: float


def read_points(*paths: Path, first: str | None = None) -> list[Point]:
    """Read a file of curves, or those of all blocks of an arm.

    The rows of a pruning round belong to `round-<n>/<variant>`: the series of the first variant keep their plain
    names, those of the others end in the variant's name, as the metrics of the test set do.

    Args:
        paths: CSVs with the columns arm, seed, step, split, loss and accuracy.
        first: the variant whose series keep their plain names; the first that the file names where None.

    Returns:
        The points by step, then by series.

    Raises:
        AssayError: a row is not of this form.
    """
    sums: dict[tuple[int, str], list[float]] = defaultdict(list)
    number = 1
    for path in paths:
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                for number, row in enumerate(csv.DictReader(stream), start=2):  # noqa: B007 (for the message)
                    variant = row["arm"].partition("/")[2]
                    first = first or variant
                    suffix = f".{variant}" if variant not in ("", first) else ""
                    for quantity in QUANTITIES:
                        if row[quantity]:
                            sums[int(row["step"]), f"{row['split']}_{quantity}{suffix}"].append(float(row[quantity]))
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            shown = "/".join(path.parts[-3:])
            raise AssayError(f"{shown}: line {number}: {error!r}; delete the file and run `dvc repro`") from None
    return [Point(series, step, sum(values) / len(values)) for (step, series), values in sorted(sums.items())]
