"""What accuracy costs: each variant against training and inference cost, and who is beaten by nobody."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from assay.report import numbers
from assay.report.content import groups
from assay.report.figure import Figure, table
from assay.report.plot import Axis, Panel, Series
from assay.report.scales import short
from assay.report.tables import Cell, label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assay.report.content import Content
    from assay.report.summary import Row
    from assay.report.tables import Table

Cost = tuple[str, str, str]
COSTS: tuple[Cost, ...] = (
    ("training_cost", "Training cost", "passes"),
    ("training_flops", "Training cost", "FLOPs"),
    ("inference_cost", "Inference cost", "passes"),
    ("inference_flops", "Inference cost", "FLOPs"),
)
FARTHEST = 8  # times the least error: what errs more stands on the chart's lower edge
LABELLED = {
    "training_cost": "passes of one example through one network",
    "training_flops": "floating-point operations",
    "inference_cost": "members × density",
    "inference_flops": "floating-point operations an image",
}


def figure(content: Content) -> Figure | None:
    """Accuracy against each cost, and the table sorted by what is not dominated."""
    rows = content.clean()
    if not rows:
        return None
    known = [cost for cost in COSTS if all(getattr(row, cost[0]) is not None for row in rows)]
    one_network = len({content.record(row.arm).model.flops_per_sample for row in rows}) == 1
    if one_network:  # operations would show the same again
        known = [cost for cost in known if cost[2] == "passes"]
    return Figure(
        "equal_cost",
        "What accuracy costs",
        "Up and to the left is better. The step line joins what no other variant beats in both. A backward pass counts "
        "as two forward passes; operations are those that PyTorch counts in each arm's own network. Nothing here is "
        "timed: a pruned network is counted by its weights, and may take longer than the dense one. Means over seeds; "
        f"what errs {FARTHEST} times as often as the best stands on the lower edge.",
        [_panel(content, rows, cost) for cost in known],
        {"Not dominated first": _table(rows, known)},
    )


def dominators(rows: Sequence[Row]) -> list[Row | None]:
    """For each row one that is at least as accurate at no more training and inference cost and better in one of them.

    Of several, the most accurate; None for a row that is not dominated. Operations count where all are known.
    """
    flops = all(row.training_flops is not None and row.inference_flops is not None for row in rows)
    train, infer = ("training_flops", "inference_flops") if flops else ("training_cost", "inference_cost")

    def qualities(row: Row) -> tuple[float, float, float]:
        return row.accuracy, -(getattr(row, train) or 0.0), -(getattr(row, infer) or 0.0)

    found = []
    for row in rows:
        own = qualities(row)
        better = [
            other
            for other in rows
            if qualities(other) != own and all(a >= b for a, b in zip(qualities(other), own, strict=True))
        ]
        found.append(max(better, key=lambda other: other.accuracy, default=None))
    return found


def front(rows: Sequence[Row], cost: Callable[[Row], float]) -> list[Row]:
    """The rows better than chance that no other beats in both accuracy and this cost, from the cheapest on."""
    chosen: list[Row] = []
    for row in sorted(
        (row for row in rows if row.above_majority is not False), key=lambda row: (cost(row), -row.accuracy)
    ):
        if not chosen or row.accuracy > chosen[-1].accuracy:
            chosen.append(row)
    return chosen


def _panel(content: Content, rows: Sequence[Row], cost: Cost) -> Panel:
    key, title, unit = cost

    def of(row: Row) -> float:
        return float(getattr(row, key))

    best = front(rows, of)
    steps = [(of(row), row.accuracy) for row in best]
    corners = [point for a, b in pairwise(steps) for point in (a, (b[0], a[1]))] + steps[-1:]
    series = [Series("", [x for x, _ in corners], [y for _, y in corners], colour=0)] if corners else []
    for colour, group in enumerate(groups(content.rows, content.claims)):
        own = [row for row in rows if row.arm in group.arms]
        if own:
            series.append(
                Series(
                    group.title,
                    [of(row) for row in own],
                    [row.accuracy for row in own],
                    [f"{label(content.rows, row)}: {100 * row.accuracy:.2f} %, {short(of(row))}" for row in own],
                    colour=colour % 8,
                    line=False,
                    marks=True,
                    labels=[label(content.rows, row) if row in best else "" for row in own],
                )
            )
    accuracies = [row.accuracy for row in rows]
    floor = max(min(accuracies) - 0.1 * (max(accuracies) - min(accuracies)), 1 - FARTHEST * (1 - max(accuracies)))
    ceiling = 1 - 0.9 * (1 - max(accuracies))
    y = Axis("test accuracy, %", "accuracy", ends=(floor, ceiling) if min(accuracies) < max(accuracies) else None)
    return Panel(f"{title}, {unit}", Axis(LABELLED[key], "log"), y, series, height=300)


def _table(rows: Sequence[Row], known: Sequence[Cost]) -> Table:
    by = dominators(rows)
    chance = [row.above_majority is False for row in rows]
    order = sorted(
        range(len(rows)), key=lambda i: (chance[i] or by[i] is not None, -rows[i].accuracy, rows[i].training_cost or 0)
    )
    columns = [("Accuracy", "%"), *((title, unit) for _, title, unit in known), ("Beaten by", "at no more cost")]
    lines = []
    for i in order:
        row, other = rows[i], by[i]
        cells = [Cell(numbers.fixed(100 * row.accuracy, 2)), *(Cell(short(getattr(row, key))) for key, _, _ in known)]
        beaten = "the largest class" if chance[i] else label(rows, other) if other else "nobody"
        lines.append((label(rows, row), [*cells, Cell(beaten)]))
    return table("", columns, lines)
