"""The report's tables as text, rounded: the page, its Markdown twin and the README all show these."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.core.config import BASELINE
from assay.core.plain import flat
from assay.report import numbers
from assay.scoring import metrics
from assay.scoring.metrics import ECE_BINS, lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.report.summary import Row
    from assay.scoring.record import Record


class Cell(NamedTuple):
    """A number, and its uncertainty in smaller type."""

    value: str
    detail: str = ""


class Table(NamedTuple):
    """A table whose first column names the rows; below each heading stands a note, its unit or what the detail is.

    A row is its name and its other cells; `titles` has the title of each group, by the index of its first row.
    """

    columns: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    titles: Mapping[int, str] = MappingProxyType({})


def table(heading: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[str, Sequence[object]]]) -> Table:
    """A table: what its first column holds, then the heading and the note of every other."""
    names, notes = zip(*columns, strict=True)
    cells = [(name, tuple(one if isinstance(one, Cell) else Cell(str(one)) for one in own)) for name, own in rows]
    return Table((heading, *names), ("", *notes), tuple(cells))


def span_cell(values: Sequence[float], scale: float = 1, places: int = 2) -> Cell:
    """The mean of seeds, with the least and the greatest below it; without a mean, how many seeds are not finite.

    Without any seeds, the cell is empty.
    """
    if not values:
        return Cell("")
    if lost := sum(not math.isfinite(value) for value in values):
        return Cell(numbers.MISSING, f"{lost} of {len(values)} not finite")
    shown = numbers.fixed(scale * numbers.mean(values), places)
    return Cell(shown, numbers.span(scale * min(values), scale * max(values), places) if len(values) > 1 else "")


def label(rows: Sequence[Row], row: Row) -> str:
    """`cyclic`, or `swa/average` where the arm has several variants."""
    alone = sum(other.arm == row.arm for other in rows) == 1
    return row.arm if alone else f"{row.arm}/{row.variant}"


def grouped(found: Table, rows: Sequence[Row], groups: Mapping[str, Sequence[str]]) -> Table:
    """The table of these rows, sorted into groups of arms."""
    order: list[int] = []
    titles = {}
    for title, arms in groups.items():
        titles[len(order)] = title
        order += [i for i, row in enumerate(rows) if row.arm in arms]
    return found._replace(rows=tuple(found.rows[i] for i in order), titles=titles)


def results(rows: Sequence[Row]) -> Table:
    """How good each variant is; each metric with its least and greatest seed, the difference with its interval."""
    columns: list[tuple[str, str, list[Cell]]] = []
    for metric in metrics.results():
        if any(row.of(metric) is None for row in rows):
            continue
        one = lookup(metric)
        ends = [(one.scale * row.of(f"{metric}_min"), one.scale * row.of(f"{metric}_max")) for row in rows]
        places = numbers.decimals(((high - low) / 2 for low, high in ends), one.decimals)
        values = [numbers.fixed(one.scale * row.of(metric), places) for row in rows]
        spans = [numbers.span(*own, places) if row.seeds > 1 else "" for row, own in zip(rows, ends, strict=True)]
        columns.append((one.label, one.unit or one.span, list(map(Cell, values, spans))))
    known = [(row.difference_low, row.difference_high) for row in rows]
    pairs = [None if low is None or high is None else (100 * low, 100 * high) for low, high in known]
    places = numbers.decimals(((own[1] - own[0]) / 2 for own in pairs if own), 2)
    values = [numbers.signed(None if row.difference is None else 100 * row.difference, places) for row in rows]
    intervals = [numbers.interval(*own, places) if own else "" for own in pairs]
    about = "Difference to baseline", "points, 95\N{NO-BREAK SPACE}% interval"
    columns.insert(1, (*about, list(map(Cell, values, intervals))))
    for key, heading, note in (("disagreement", "Disagreement", ""), ("total_variation", "Variation", "total, ")):
        if any(row.of(key) is not None for row in rows):
            shares = (None if row.of(key) is None else 100 * row.of(key) for row in rows)
            columns.append((heading, f"{note}of members, %", [Cell(numbers.fixed(share, 2)) for share in shares]))
    return _by_row(rows, columns)


def direction() -> str:
    """Of which metrics in the table of results less is better, as a sentence."""
    *most, last = (lookup(metric).label for metric in metrics.results() if lookup(metric).higher_is_better is False)
    return f"{', '.join(most)} and {last}: less is better. ECE has {ECE_BINS} bins."


COSTS: tuple[tuple[str, str, str, Callable[[Any], str]], ...] = (
    ("train_samples", "Train", "samples", numbers.count),
    ("forward_samples", "Forward only", "samples", numbers.count),
    ("training_cost", "Training cost", "passes", numbers.count),
    ("optimizer_steps", "Optimizer", "steps", numbers.count),
    ("best_step", "Best step", "on validation", numbers.count),
    ("members", "Members", "networks", numbers.count),
    ("density", "Density", "weights kept", numbers.plain),
    ("inference_cost", "Inference cost", "members × density", numbers.plain),
    ("training_flops", "Training", "FLOPs", numbers.short),
    ("inference_flops", "Inference", "FLOPs", numbers.short),
)


def costs(rows: Sequence[Row]) -> Table:
    """What each variant costs: to train, for one seed, and to run; a column that some row lacks is left out."""
    columns = [
        (heading, note, [Cell(write(row.of(key))) for row in rows])
        for key, heading, note, write in COSTS
        if key == "best_step" or all(row.of(key) is not None for row in rows)
    ]
    return _by_row(rows, columns)


def _by_row(rows: Sequence[Row], columns: Sequence[tuple[str, str, list[Cell]]]) -> Table:
    *heads, cells = zip(*columns, strict=True)
    own = [(label(rows, row), line) for row, line in zip(rows, zip(*cells, strict=True), strict=True)]
    return table("", list(zip(*heads, strict=True)), own)


def parameters(records: Mapping[str, Record]) -> dict[str, dict[str, str]]:
    """The parameters of the baseline, of each other arm those that differ: `train.steps`, a method's options bare."""

    def plain(value: Any) -> str:
        if isinstance(value, list | tuple):
            return ", ".join(map(plain, value))
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

    found = {}
    for name, record in records.items():
        own = {key.removeprefix("options."): plain(value) for key, value in flat(record.parameters) if value != {}}
        found[name] = {"method": record.method, **own, "seeds": plain(record.seeds)}
    reference = found[BASELINE]
    for name, own in found.items():
        if name != BASELINE:
            differ = [key for key in dict.fromkeys((*own, *reference)) if own.get(key) != reference.get(key)]
            found[name] = {key: own.get(key, numbers.MISSING) for key in differ}
    return found
