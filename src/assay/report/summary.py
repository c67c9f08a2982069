"""`metrics/summary.csv`: one row for each arm and variant, the numbers that every table here is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.analysis.statistics import mean_of, paired_difference
from assay.core.config import BASELINE
from assay.core.config.parsing import parse, suggestion
from assay.core.plain import csv_of, read_csv
from assay.scoring.metrics import per_example, quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.scoring.record import Evaluation

PATH = Path("metrics/summary.csv")
DECIMALS = 6
ROUNDING = 1e-9  # sums of equal numbers differ in their last bits


class Row(BaseModel):
    """One variant; its fields are the columns of the file. Empty cells are None.

    A metric of the table `METRICS` without a field here has columns of its own, after the others.

    Attributes:
        arm: its arm.
        variant: its name.
        method: the arm's method.
        seeds: how many networks were trained.
        members: networks whose predictions are combined.
        density: share of weights not pruned.
        accuracy: mean over seeds, as are the other metrics; `_min` and `_max` are the extremes over seeds.
        difference: accuracy minus that of the baseline's first variant; None for that variant itself.
        difference_low: low end of its 95 % interval; None where fewer than two seeds are common.
        difference_high: high end.
        disagreement: of members; None where there is one.
        train_samples: examples that one network saw forward and backward.
        forward_samples: examples that it saw forward only.
        optimizer_steps: updates of its weights.
        inference_cost: members times density.
        best_step: mean step of the least validation loss; None where nothing was validated.
        combine: how members are combined.
        label_noise: share of training labels replaced by random classes.
        training_cost: passes of one example through one network; a backward pass counts as two.
        training_flops: floating-point operations of the same; None where nobody counted.
        inference_flops: operations of one prediction.
        total_variation: of members' probabilities; None where there is one.
        balanced_accuracy: mean recall of the classes; None in files from before it was measured, as all that follow.
        macro_f1: mean F1 of the classes.
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


def _row(evaluations: Mapping[str, Evaluation], arm: str, variant: str) -> Row:
    record = evaluations[arm].record
    found = record.variants[variant]
    spreads: dict[str, float] = {}
    for metric in quality():
        values = getattr(found, metric)
        spreads |= {metric: _mean(values), f"{metric}_min": _round(min(values)), f"{metric}_max": _round(max(values))}
    estimate, interval = _difference(evaluations, arm, variant)
    cost = record.costs(found)
    return Row(
        arm=arm,
        variant=variant,
        method=record.method,
        seeds=len(record.seeds),
        members=found.members,
        density=_round(found.density),
        **spreads,
        difference=estimate,
        difference_low=interval and interval[0],
        difference_high=interval and interval[1],
        disagreement=_mean(found.disagreement) if found.disagreement else None,
        train_samples=_round(found.train_samples),
        forward_samples=_round(found.forward_samples),
        optimizer_steps=_round(found.optimizer_steps),
        inference_cost=_round(cost.inference_cost),
        best_step=_mean(found.best_step) if found.best_step else None,
        combine=found.combine,
        label_noise=float(record.parameters.get("label_noise", 0.0)),
        training_cost=_whole(cost.training_cost),
        training_flops=_whole(cost.training_flops),
        inference_flops=_whole(cost.inference_flops),
        total_variation=_mean(found.total_variation) if found.total_variation else None,
        majority_share=_round(record.majority_share),
        above_majority=_above_majority(evaluations[arm], variant),
    )


def _difference(
    evaluations: Mapping[str, Evaluation], arm: str, variant: str
) -> tuple[float | None, tuple[float, float] | None]:
    reference = evaluations[BASELINE]
    first = next(iter(reference.record.variants))
    if (arm, variant) == (BASELINE, first):
        return None, None
    evaluation = evaluations[arm]
    found = paired_difference(
        "accuracy",
        evaluation.predictions[variant],
        reference.predictions[first],
        evaluation.record.seeds,
        reference.record.seeds,
    )
    estimate, interval = found.value, found.interval()
    rounded = interval and (_round(interval[0]), _round(interval[1]))
    return None if estimate is None else _round(estimate), rounded


def _above_majority(evaluation: Evaluation, variant: str) -> bool:
    record = evaluation.record
    found = mean_of(per_example("accuracy", evaluation.predictions[variant]), tuple(record.seeds))
    interval = found.interval()
    low = interval[0] if interval else found.value
    return low is not None and low > record.majority_share + ROUNDING


def _whole(value: float | None) -> float | None:
    return None if value is None else _round(value)


def _mean(values: Sequence[float]) -> float:
    return _round(sum(values) / len(values))


def _round(value: float) -> float:
    return round(value, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
