"""`metrics/summary.csv`: one row for each arm and variant, and what they say of the classes of the test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.analysis.statistics import mean_of, paired_difference
from assay.core.config import BASELINE
from assay.core.config.parsing import parse, suggestion
from assay.core.plain import csv_of, read_csv
from assay.report.tables import label
from assay.scoring.metrics import per_example, quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.scoring.record import Evaluation, Record

PATH = Path("metrics/summary.csv")
DECIMALS = 6
ROUNDING = 1e-9  # sums of equal numbers differ in their last bits
MOST_LISTED = 12  # classes; of more, the least and the greatest number are given
UNEQUAL = 2  # times the smallest class, from which the largest is worth a warning


class Row(BaseModel):
    """One variant; its fields are the columns of the file. Empty cells are None.

    A metric of the table `METRICS` without a field here has columns of its own, after the others.

    Attributes:
        accuracy: mean over seeds, as are the other metrics; `_min` and `_max` are the extremes over seeds.
        difference: accuracy minus that of the baseline's first variant, with the ends `_low` and `_high` of its 95 %
            interval; None for that variant itself, the ends also where fewer than two seeds are common.
        disagreement: of members; None where there is one, and so is `total_variation`.
        train_samples: of one network, as are `forward_samples` and `optimizer_steps`.
        best_step: mean step of the least validation loss; None where nothing was validated.
        label_noise: share of training labels replaced by random classes.
        training_cost: as in `scoring.record.Costs`, and so are `training_flops`, `inference_cost`, `inference_flops`.
        balanced_accuracy: None in files from before it was measured, as all that follow.
        majority_share: share of the test set that is of its most frequent class.
        above_majority: whether the 95 % interval of the accuracy, without one the accuracy, lies above that share.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    arm: str
    variant: str
    method: str
    seeds: int
    members: int
    density: float
    accuracy: float
    accuracy_min: float
    accuracy_max: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    nll: float
    nll_min: float
    nll_max: float
    brier: float
    brier_min: float
    brier_max: float
    ece: float
    ece_min: float
    ece_max: float
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
    balanced_accuracy_min: float | None = None
    balanced_accuracy_max: float | None = None
    macro_f1: float | None = None
    macro_f1_min: float | None = None
    macro_f1_max: float | None = None
    majority_share: float | None = None
    above_majority: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_other_column(cls, content: dict[str, Any]) -> dict[str, Any]:
        unknown = [str(name) for name in content if name not in columns()]
        if unknown:
            raise ValueError(f"{unknown[0]}: unknown column; {suggestion(unknown[0], columns())}")
        return content

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the difference."""
        low, high = self.difference_low, self.difference_high
        return None if low is None or high is None else (low, high)

    def of(self, metric: str) -> Any:
        """A metric, or `<metric>_min` or `_max`; None where the file was written before it was measured."""
        return getattr(self, metric, None)


def columns() -> list[str]:
    """The header of the file."""
    spreads = (name for metric in quality() for name in (metric, f"{metric}_min", f"{metric}_max"))
    return list(dict.fromkeys((*Row.model_fields, *spreads)))


def rows(evaluations: Mapping[str, Evaluation]) -> list[Row]:
    """One row for each variant of each arm, the baseline first; numbers rounded as the file has them."""
    return [
        _row(evaluations, arm, variant)
        for arm, evaluation in evaluations.items()
        for variant in evaluation.record.variants
    ]


def csv_text(table: Sequence[Row]) -> str:
    """The file's text: a header, then a line for each row; None is an empty cell."""
    return csv_of(columns(), ([_cell(row.of(name)) for name in columns()] for row in table))


def read(path: Path) -> list[Row]:
    """Read the file.

    Raises:
        AssayError: it is missing, or a line is not a row.
    """
    return [
        parse(Row, {key: value or None for key, value in line.items()}, f"{path}:{number}")
        for number, line in enumerate(read_csv(path, "`dvc repro` writes it"), start=2)
    ]


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


def _row(evaluations: Mapping[str, Evaluation], arm: str, variant: str) -> Row:
    evaluation = evaluations[arm]
    record, found = evaluation.record, evaluation.record.variants[variant]
    values: dict[str, Any] = {
        **{key: getattr(found, key) for key in ("density", "train_samples", "forward_samples", "optimizer_steps")},
        **{key: _mean(getattr(found, key)) for key in ("disagreement", "total_variation", "best_step")},
        **record.costs(found)._asdict(),
        **_difference(evaluations, arm, variant),
        "label_noise": record.parameters.get("label_noise", 0.0),
        "majority_share": record.majority_share,
    }
    for metric in quality():
        own = getattr(found, metric)
        values |= {metric: _mean(own), f"{metric}_min": min(own), f"{metric}_max": max(own)}
    return Row(
        arm=arm,
        variant=variant,
        method=record.method,
        seeds=len(record.seeds),
        members=found.members,
        combine=found.combine,
        above_majority=_above_majority(evaluation, variant),
        **{name: _rounded(value) for name, value in values.items()},
    )


def _difference(evaluations: Mapping[str, Evaluation], arm: str, variant: str) -> dict[str, float | None]:
    sides = evaluations[arm], evaluations[BASELINE]
    first = next(iter(sides[1].record.variants))
    value, low, high = None, None, None
    if (arm, variant) != (BASELINE, first):
        answers = sides[0].predictions[variant], sides[1].predictions[first]
        found = paired_difference("accuracy", *answers, *(side.record.seeds for side in sides))
        value, (low, high) = found.value, found.interval() or (None, None)
    return {"difference": value, "difference_low": low, "difference_high": high}


def _above_majority(evaluation: Evaluation, variant: str) -> bool:
    record = evaluation.record
    found = mean_of(per_example("accuracy", evaluation.predictions[variant]), tuple(record.seeds))
    interval = found.interval()
    low = interval[0] if interval else found.value
    return low is not None and low > record.majority_share + ROUNDING


def _rounded(value: float | None) -> Any:
    return None if value is None else round(value, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
