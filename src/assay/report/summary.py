"""`metrics/summary.csv`: one row for each arm and variant, and what they say of the classes of the test set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, model_validator

from assay.analysis.seeds import DECIMALS, written
from assay.analysis.statistics import Estimate, mean_of, paired_difference
from assay.core import files
from assay.core.config import BASELINE
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import ANEW
from assay.core.plain import csv_of, read_csv
from assay.report.tables import label
from assay.scoring.metrics import per_example, quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.curves import Curves
    from assay.scoring.record import Evaluation, Record

PATH, PLOTS = Path("metrics/summary.csv"), Path("metrics/plots")
ROUNDING = 1e-9  # sums of equal numbers differ in their last bits
MOST_LISTED = 12  # classes; of more, the least and the greatest number are given
UNEQUAL = 2  # times the smallest class, from which the largest is worth a warning


class Row(BaseModel, frozen=True, extra="allow"):
    """One variant; its fields are the columns of the file. Empty cells are None.

    A metric is a mean over seeds. Behind one that evaluation computes stand two more columns, `_min` and `_max`, the
    extremes over seeds. Such a metric without a field here has its columns after the others.

    Attributes:
        difference: accuracy minus that of the baseline's first variant, with the ends `_low` and `_high` of its 95 %
            interval; None for that variant itself, the ends also where fewer than two seeds are common.
        disagreement: of members; None where there is one, and so is `total_variation`.
        train_samples: of one network, as are `forward_samples` and `optimizer_steps`; costs are as in `record.Costs`.
        best_step: mean step of the least validation loss; None where nothing was validated.
        label_noise: share of training labels replaced by random classes.
        balanced_accuracy: None in files from before it was measured, as all that follow.
        majority_share: share of the test set that is of its most frequent class.
        above_majority: whether the 95 % interval of the accuracy, without one the accuracy, lies above that share.
    """

    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    arm: str
    variant: str
    method: str
    seeds: int
    members: int
    density: float
    accuracy: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    nll: float
    brier: float
    ece: float
    disagreement: float | None
    train_samples: float
    forward_samples: float
    optimizer_steps: float
    inference_cost: float
    best_step: float | None
    combine: str = "mean_probability"
    label_noise: float = 0.0
    training_cost: float | None = None
    training_flops: float | None = None
    inference_flops: float | None = None
    total_variation: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    majority_share: float | None = None
    above_majority: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_other_column(cls, content: dict[str, Any]) -> dict[str, Any]:
        known = columns()
        if unknown := [str(name) for name in content if name not in known]:
            raise ValueError(f"{unknown[0]}: unknown column; {suggestion(unknown[0], known)}")
        return content

    def of(self, metric: str) -> Any:
        """A metric, or `<metric>_min` or `_max`; None where the file was written before it was measured."""
        return getattr(self, metric, None)


def compared_costs(rows: Sequence[Row]) -> tuple[str, str]:
    """The columns of training and inference cost by which rows compare: FLOPs where all are known, else passes."""
    known = all(row.training_flops is not None and row.inference_flops is not None for row in rows)
    return ("training_flops", "inference_flops") if known else ("training_cost", "inference_cost")


def columns() -> list[str]:
    """The header of the file."""
    measured = quality()
    names = dict.fromkeys((*Row.model_fields, *measured))
    return [one for name in names for one in ([name, f"{name}_min", f"{name}_max"] if name in measured else [name])]


def rows(evaluations: Mapping[str, Evaluation]) -> list[Row]:
    """One row for each variant of each arm, the baseline first; numbers rounded as the file has them."""
    base = evaluations[BASELINE]
    first = next(iter(base.record.variants))
    table = []
    for arm, evaluation in evaluations.items():
        record, seeds = evaluation.record, evaluation.record.seeds
        for variant, found in record.variants.items():
            answers = evaluation.predictions[variant]
            own = mean_of(per_example("accuracy", answers), tuple(seeds))
            least = (own.interval() or (own.value,))[0]
            gap = Estimate(None)
            if (arm, variant) != (BASELINE, first):
                gap = paired_difference("accuracy", answers, base.predictions[first], seeds, base.record.seeds)
            low, high = gap.interval() or (None, None)
            numbers: dict[str, Any] = {"difference": gap.value, "difference_low": low, "difference_high": high}
            numbers |= record.costs(found)._asdict() | {"majority_share": record.majority_share}
            numbers["label_noise"] = record.parameters.get("label_noise", 0.0)
            numbers |= found.model_dump(include={"density", "train_samples", "forward_samples", "optimizer_steps"})
            for name in ("disagreement", "total_variation", "best_step", *quality()):
                each = getattr(found, name, [])
                numbers[name] = sum(each) / len(each) if each else None
                if name in quality():
                    numbers |= {f"{name}_min": min(each, default=None), f"{name}_max": max(each, default=None)}
            row: dict[str, Any] = {  # no -0.0
                key: one if one is None else round(one, DECIMALS) + 0.0 for key, one in numbers.items()
            }
            row |= {"arm": arm, "variant": variant, "method": record.method, "seeds": len(seeds)}
            row |= {"members": found.members, "combine": found.combine}
            row["above_majority"] = least is not None and least > record.majority_share + ROUNDING
            table.append(Row(**row))
    return table


def csv_text(table: Sequence[Row]) -> str:
    """The file's text: a header, then a line for each row; None is an empty cell."""
    names = columns()
    lines = ([row.of(name) for name in names] for row in table)
    return csv_of(names, ([written(one) if isinstance(one, float) else one for one in line] for line in lines))


def read(path: Path) -> list[Row]:
    """Read the file.

    Raises:
        AssayError: it is missing, or a line is not a row.
    """
    return [
        parse(Row, {key: value or None for key, value in line.items()}, f"{path}:{number}")
        for number, line in enumerate(read_csv(path, "`dvc repro` writes it", ANEW), start=2)
    ]


def write_plots(root: Path, table: Sequence[Row], curves: Curves) -> None:
    """Write `metrics/plots/`, small tables for `dvc plots show` and `dvc plots diff`.

    `results.csv` has a line a variant, `curves.csv` a line an arm and step, with means over seeds; shares in per cent.
    """

    def cell(value: float, places: int = 4) -> str:
        return f"{value:.{places}f}" if math.isfinite(value) else ""  # the charts take JSON

    results = []
    for row in table:
        shares = cell(100 * row.accuracy), cell(100 * row.ece)
        results.append((label(table, row), *shares, cell(row.nll, 6), cell(row.training_cost or 0, 0)))
    points = [
        (arm, step, cell(curve.loss[:, i].mean(), 6), cell(100 * curve.accuracy[:, i].mean()))
        for arm, splits in curves.items()
        if (curve := splits.get("validation") or splits.get("train")) is not None
        for i, step in enumerate(curve.steps)
    ]
    with files.replacing(root / PLOTS) as folder:
        folder.mkdir()
        header = ("variant", "accuracy", "ece", "nll", "training_cost")
        files.write_text(folder / "results.csv", csv_of(header, results))
        files.write_text(folder / "curves.csv", csv_of(("arm", "step", "loss", "accuracy"), points))


def class_sentences(record: Record) -> list[str]:
    """The test examples of each class, the share of the largest, and a warning where classes are very unequal."""
    counts = {name: count for name, count in record.class_counts.items() if count}
    largest, share = max(counts, key=lambda name: counts[name]), f"{100 * record.majority_share:.1f} %"
    if len(record.class_counts) <= MOST_LISTED:
        each = ", ".join(f"{name} ({count:,})" for name, count in record.class_counts.items())
    else:
        each = f"{min(counts.values()):,} to {counts[largest]:,} in each of {len(counts)} classes"
        if absent := len(record.class_counts) - len(counts):
            each += f", none in {absent} more"
    found = [f"Test examples by class: {each}. The largest class, {largest}, is {share} of them."]
    if counts[largest] >= UNEQUAL * min(counts.values()) or len(counts) == 1:
        found.append(
            f"The classes are very unequal: always answering {largest} has an accuracy of {share}. Read balanced "
            "accuracy and macro F1 beside accuracy."
        )
    return found


def no_better_than_majority(table: Sequence[Row]) -> str:
    """The variants whose accuracy does not lie above the share of the largest class, as a sentence; else empty."""
    named = ", ".join(label(table, row) for row in table if row.above_majority is False)
    share = next((row.majority_share for row in table if row.majority_share is not None), 0.0)
    return named and f"No better than always answering the largest class ({100 * share:.1f} %): {named}."
