"""The report's tables as text, rounded: the page, its Markdown twin and the README all show these."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from assay.core.config import BASELINE
from assay.core.plain import flat
from assay.report import numbers
from assay.report.numbers import short
from assay.scoring.metrics import METRICS, quality

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.report.summary import Row
    from assay.scoring.record import Record


@dataclass(frozen=True)
class Cell:
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
    if any(row.disagreement is not None for row in rows):
        cells = [Cell(_scaled(row.disagreement, 100, 2)) for row in rows]
        columns.append(("Disagreement", "of members, %", cells))
    if any(row.total_variation is not None for row in rows):
        cells = [Cell(_scaled(row.total_variation, 100, 2)) for row in rows]
        columns.append(("Variation", "total, of members, %", cells))
    return _table(rows, columns)


def costs(rows: Sequence[Row]) -> Table:
    """What each variant costs: to train, for one seed, and to run."""

    def counts(read: Callable[[Row], float | None]) -> list[Cell]:
        return [Cell(numbers.count(read(row))) for row in rows]

    columns = [
        ("Train", "samples", counts(lambda row: row.train_samples)),
        ("Forward only", "samples", counts(lambda row: row.forward_samples)),
        ("Optimizer", "steps", counts(lambda row: row.optimizer_steps)),
        ("Best step", "on validation", counts(lambda row: row.best_step)),
        ("Members", "networks", counts(lambda row: row.members)),
        ("Density", "weights kept", [Cell(numbers.plain(row.density)) for row in rows]),
        ("Inference cost", "members × density", [Cell(numbers.plain(row.inference_cost)) for row in rows]),
    ]
    if all(row.training_cost is not None for row in rows):
        columns.insert(2, ("Training cost", "passes", counts(lambda row: row.training_cost)))
    if all(row.training_flops is not None and row.inference_flops is not None for row in rows):
        columns += [
            ("Training", "FLOPs", [Cell(short(row.training_flops or 0)) for row in rows]),
            ("Inference", "FLOPs", [Cell(short(row.inference_flops or 0)) for row in rows]),
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
    reference = found_in[BASELINE]
    own = {BASELINE: reference}
    for name, found in found_in.items():
        if name != BASELINE:
            keys = dict.fromkeys((*found, *reference))
            changed = (key for key in keys if found.get(key) != reference.get(key))
            own[name] = {key: found.get(key, numbers.MISSING) for key in changed}
    return own


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
    known = [row for row in rows if row.difference_low is not None and row.difference_high is not None]
    places = numbers.decimals((50 * (row.difference_high - row.difference_low) for row in known), 2)  # type: ignore[operator]
    cells = []
    for row in rows:
        value = numbers.signed(None if row.difference is None else 100 * row.difference, places)
        if row.difference_low is None or row.difference_high is None:
            cells.append(Cell(value))
        else:
            cells.append(Cell(value, numbers.interval(100 * row.difference_low, 100 * row.difference_high, places)))
    return cells


def _scaled(value: float | None, scale: int, places: int) -> str:
    return numbers.fixed(None if value is None else scale * value, places)
