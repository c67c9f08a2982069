"""What accuracy costs: each variant against training and inference cost, and who is beaten by nobody."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from assay.report import numbers
from assay.report.charts import STRETCHED, Axis, Figure, Spec
from assay.report.lines import Series, lines
from assay.report.summary import compared_costs
from assay.report.tables import Table, label, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assay.report.content import Content
    from assay.report.summary import Row

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
    known = [key for key in COSTS if all(row.of(key) is not None for row in rows)]
    if len({content.record(row.arm).model.flops_per_sample for row in rows}) == 1:  # FLOPs would show the same again
        known = [key for key in known if COSTS[key][1] == "passes"]
    return Figure(
        "equal_cost",
        "What accuracy costs",
        "Up and to the left is better. A hollow mark is a control: claims name it as a rival alone, or those of its "
        "group are about another method. The step line joins what no other variant beats in both. A backward pass "
        "counts as two forward passes; operations are those that PyTorch counts in each arm's own network. Nothing is "
        "timed: a pruned network is counted by its weights, and may take longer than the dense one. Means over seeds; "
        f"what errs {FARTHEST} times as often as the best stands on the lower edge.{STRETCHED}",
        [_chart(content, rows, key) for key in known],
        {"Not dominated first": _table(rows, known)},
    )


def dominators(rows: Sequence[Row]) -> list[Row | None]:
    """For each row one that is at least as accurate at no more training and inference cost and better in one of them.

    Of several, the most accurate; None for a row that is not dominated. Operations count where all are known.
    """
    costs = compared_costs(rows)
    qualities = [(row.accuracy, *(-(row.of(key) or 0.0) for key in costs)) for row in rows]
    found = []
    for own in qualities:
        others = zip(rows, qualities, strict=True)
        better = [row for row, other in others if other != own and all(map(operator.ge, other, own))]
        found.append(max(better, key=lambda row: row.accuracy, default=None))
    return found


def front(rows: Sequence[Row], cost: Callable[[Row], float]) -> list[Row]:
    """The rows better than chance that no other beats in both accuracy and this cost, from the cheapest on."""
    chosen: list[Row] = []
    for row in sorted(rows, key=lambda row: (cost(row), -row.accuracy)):
        if row.above_majority is not False and (not chosen or row.accuracy > chosen[-1].accuracy):
            chosen.append(row)
    return chosen


def _chart(content: Content, rows: Sequence[Row], cost: str) -> Spec:
    def points(some: Iterable[Row]) -> tuple[list[float], list[float]]:
        return [row.of(cost) for row in some], [row.accuracy for row in some]

    title, unit, axis = COSTS[cost]
    best = front(rows, lambda row: float(row.of(cost)))
    claimed, controls = {name for claim in content.claims for name in (claim.arm, claim.against)}, content.controls
    series = [Series("not beaten", *points(best), colour=0, line="step-after", named=False)]
    for colour, (group, arms) in enumerate(content.groups.items()):
        if own := {label(content.rows, row): row for row in rows if row.arm in arms}:
            tips = [f"{name}: {100 * row.accuracy:.2f} %, {numbers.short(row.of(cost))}" for name, row in own.items()]
            labels = [name if row in best or f"{row.arm}/{row.variant}" in claimed else "" for name, row in own.items()]
            hollow = [(row.arm, row.variant) in controls for row in own.values()]
            one = Series(group, *points(own.values()), tips, colour=colour % 8, line="", marks=True, labels=labels)
            series.append(one._replace(hollow=hollow))
    least, most = min(row.accuracy for row in rows), max(row.accuracy for row in rows)
    ends = max(least - 0.1 * (most - least), 1 - FARTHEST * (1 - most)), 1 - 0.75 * (1 - most)
    y = Axis("test accuracy, %; hollow: a control", "accuracy", ends=ends if least < most else None)
    return lines(f"{title}, {unit}", Axis(axis, "log"), y, series, height=230)


def _table(rows: Sequence[Row], known: Sequence[str]) -> Table:
    def place(one: tuple[Row, Row | None]) -> tuple[bool, float, float]:
        return one[0].above_majority is False or one[1] is not None, -one[0].accuracy, one[0].training_cost or 0

    found = []
    for row, other in sorted(zip(rows, dominators(rows), strict=True), key=place):
        by = "the largest class" if row.above_majority is False else label(rows, other) if other else "nobody"
        cells = [numbers.fixed(100 * row.accuracy, 2), *(numbers.short(row.of(key)) for key in known), by]
        found.append((label(rows, row), cells))
    columns = [("Accuracy", "%"), *(COSTS[key][:2] for key in known), ("Beaten by", "at no more cost")]
    return table("", columns, found)
