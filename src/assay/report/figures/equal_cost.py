"""What accuracy costs: each variant against training and inference cost, and who is beaten by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report import numbers
from assay.report.charts import Axis
from assay.report.content import groups
from assay.report.figure import Figure, table
from assay.report.lines import Series, lines
from assay.report.numbers import short
from assay.report.tables import label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assay.report.charts import Spec
    from assay.report.content import Content
    from assay.report.summary import Row
    from assay.report.tables import Table

ORDER = 1
FARTHEST = 8  # times the least error: what errs more stands on the chart's lower edge
COSTS = {  # the title and the unit of each, and how its axis says it
    "training_cost": ("Training cost", "passes", "passes of one example through one network"),
    "training_flops": ("Training cost", "FLOPs", "floating-point operations"),
    "inference_cost": ("Inference cost", "passes", "members × density"),
    "inference_flops": ("Inference cost", "FLOPs", "floating-point operations an image"),
}


def figure(content: Content) -> Figure | None:
    """Accuracy against each cost, and the table sorted by what is not dominated."""
    rows = content.clean()
    if not rows:
        return None
    known = [key for key in COSTS if all(getattr(row, key) is not None for row in rows)]
    one_network = len({content.record(row.arm).model.flops_per_sample for row in rows}) == 1
    if one_network:  # operations would show the same again
        known = [key for key in known if COSTS[key][1] == "passes"]
    return Figure(
        "equal_cost",
        "What accuracy costs",
        "Up and to the left is better. The step line joins what no other variant beats in both. A backward pass counts "
        "as two forward passes; operations are those that PyTorch counts in each arm's own network. Nothing here is "
        "timed: a pruned network is counted by its weights, and may take longer than the dense one. Means over seeds; "
        f"what errs {FARTHEST} times as often as the best stands on the lower edge.",
        [_chart(content, rows, key) for key in known],
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


def _chart(content: Content, rows: Sequence[Row], cost: str) -> Spec:
    def points(some: Sequence[Row]) -> tuple[list[float], list[float]]:
        return [getattr(row, cost) for row in some], [row.accuracy for row in some]

    title, unit, axis = COSTS[cost]
    best = front(rows, lambda row: getattr(row, cost))
    series = [Series("not beaten", *points(best), colour=0, line="step-after", named=False)]
    for colour, group in enumerate(groups(content.rows, content.claims)):
        own = [row for row in rows if row.arm in group.arms]
        names = [label(content.rows, row) for row in own]
        tips = [
            f"{name}: {100 * row.accuracy:.2f} %, {short(getattr(row, cost))}"
            for name, row in zip(names, own, strict=True)
        ]
        labels = [name if row in best else "" for name, row in zip(names, own, strict=True)]
        if own:
            look = {"colour": colour % 8, "line": "", "marks": True, "labels": labels}
            series.append(Series(group.title, *points(own), tips, **look))  # type: ignore[arg-type]
    least, most = min(row.accuracy for row in rows), max(row.accuracy for row in rows)
    ends = max(least - 0.1 * (most - least), 1 - FARTHEST * (1 - most)), 1 - 0.75 * (1 - most)
    y = Axis("test accuracy, %", "accuracy", ends=ends if least < most else None)
    return lines(f"{title}, {unit}", Axis(axis, "log"), y, series, height=230)


def _table(rows: Sequence[Row], known: Sequence[str]) -> Table:
    by = dominators(rows)
    chance = [row.above_majority is False for row in rows]
    order = sorted(
        range(len(rows)), key=lambda i: (chance[i] or by[i] is not None, -rows[i].accuracy, rows[i].training_cost or 0)
    )
    columns = [("Accuracy", "%"), *(COSTS[key][:2] for key in known), ("Beaten by", "at no more cost")]
    found = []
    for i in order:
        row, other = rows[i], by[i]
        beaten = "the largest class" if chance[i] else label(rows, other) if other else "nobody"
        costs = [short(getattr(row, key)) for key in known]
        found.append((label(rows, row), [numbers.fixed(100 * row.accuracy, 2), *costs, beaten]))
    return table("", columns, found)
