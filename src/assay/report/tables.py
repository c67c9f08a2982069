"""The report's tables as text, rounded: the page, its Markdown twin and the README all show these."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.core.config import BASELINE
from assay.core.plain import flat
from assay.report import numbers
from assay.report.numbers import short
from assay.scoring.metrics import METRICS, quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.report.summary import Row
    from assay.scoring.record import Record


class Cell(NamedTuple):
    """A number, and its uncertainty in smaller type."""

    value: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    Attributes:
        columns: the headings.
        notes: a line below each heading: the unit, or what the detail is.
        rows: the name of each, and its cells, one less than there are columns.
        titles: above which row a group begins, and its title; empty where rows stand in no groups.
    """

    columns: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    titles: Mapping[int, str] = field(default_factory=dict)


def label(rows: Sequence[Row], row: Row) -> str:
    """`cyclic`, or `swa/average` where the arm has several variants."""
    alone = sum(other.arm == row.arm for other in rows) == 1
    return row.arm if alone else f"{row.arm}/{row.variant}"


def grouped(table: Table, groups: Sequence[tuple[str, Sequence[int]]]) -> Table:
    """The same rows, sorted into groups: the title of each, and which rows belong to it."""
    order: list[int] = []
    titles = {}
    for title, members in groups:
        titles[len(order)] = title
        order += list(members)
    return replace(table, rows=tuple(table.rows[i] for i in order), titles=titles)


def results(rows: Sequence[Row]) -> Table:
    """How good each variant is; each metric with its least and greatest seed, the difference with its interval."""
    columns = [
        (one.label, one.unit or one.span, _spread(rows, metric, one.scale, one.decimals))
        for metric, one in METRICS.items()
        if metric in quality() and all(row.of(metric) is not None for row in rows)
    ]
    columns.insert(1, ("Difference to baseline", "points, 95\N{NO-BREAK SPACE}% interval", _differences(rows)))
    for key, heading, note in (
        ("disagreement", "Disagreement", "of members, %"),
        ("total_variation", "Variation", "total, of members, %"),
    ):
        values = [row.of(key) for row in rows]
        if any(value is not None for value in values):
            cells = [Cell(numbers.fixed(None if value is None else 100 * value, 2)) for value in values]
            columns.append((heading, note, cells))
    return _table(rows, columns)


COSTS: tuple[tuple[str, str, str, Callable[[Any], str]], ...] = (
    ("train_samples", "Train", "samples", numbers.count),
    ("forward_samples", "Forward only", "samples", numbers.count),
    ("training_cost", "Training cost", "passes", numbers.count),
    ("optimizer_steps", "Optimizer", "steps", numbers.count),
    ("best_step", "Best step", "on validation", numbers.count),
    ("members", "Members", "networks", numbers.count),
    ("density", "Density", "weights kept", numbers.plain),
    ("inference_cost", "Inference cost", "members × density", numbers.plain),
    ("training_flops", "Training", "FLOPs", short),
    ("inference_flops", "Inference", "FLOPs", short),
)


def costs(rows: Sequence[Row]) -> Table:
    """What each variant costs: to train, for one seed, and to run; a column that some row lacks is left out."""
    columns = [
        (heading, note, [Cell(write(row.of(key))) for row in rows])
        for key, heading, note, write in COSTS
        if key == "best_step" or all(row.of(key) is not None for row in rows)
    ]
    return _table(rows, columns)


def parameters(records: Mapping[str, Record]) -> dict[str, dict[str, str]]:
    """The parameters of the baseline, and for each other arm those that differ from it, as `train.steps`: `3000`."""
    found_in = {
        name: {
            "method": record.method,
            **{key: _plain(value) for key, value in flat(record.parameters) if value != {}},
            "seeds": ", ".join(str(seed) for seed in record.seeds),
        }
        for name, record in records.items()
    }
    reference = found_in.pop(BASELINE)
    return {BASELINE: reference} | {
        name: {
            key: found.get(key, numbers.MISSING)
            for key in dict.fromkeys((*found, *reference))
            if found.get(key) != reference.get(key)
        }
        for name, found in found_in.items()
    }


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _table(rows: Sequence[Row], columns: Sequence[tuple[str, str, list[Cell]]]) -> Table:
    names, notes, cells = zip(*columns, strict=True)
    lines = zip(rows, zip(*cells, strict=True), strict=True)
    return Table(("", *names), ("", *notes), tuple((label(rows, row), line) for row, line in lines))


def _spread(rows: Sequence[Row], metric: str, scale: int, default: int) -> list[Cell]:
    ends = [(scale * row.of(f"{metric}_min"), scale * row.of(f"{metric}_max")) for row in rows]
    places = numbers.decimals(((high - low) / 2 for low, high in ends), default)
    return [
        Cell(
            numbers.fixed(scale * row.of(metric), places),
            numbers.span(low, high, places) if row.seeds > 1 else "",
        )
        for row, (low, high) in zip(rows, ends, strict=True)
    ]


def _differences(rows: Sequence[Row]) -> list[Cell]:
    ends = [row.interval and (100 * row.interval[0], 100 * row.interval[1]) for row in rows]
    places = numbers.decimals(((own[1] - own[0]) / 2 for own in ends if own), 2)
    values = [None if row.difference is None else 100 * row.difference for row in rows]
    return [
        Cell(numbers.signed(value, places), numbers.interval(*own, places) if own else "")
        for value, own in zip(values, ends, strict=True)
    ]
