"""The metrics, one entry each in `METRICS`, and the numbers that they make of predictions.

Claims, the summary, the report, MLflow and the comparison of branches all read this table, so a new metric is one entry
(docs/adding-a-metric.md). docs/evaluation.md has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from assay.core.config import PARAMS_FILE
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.scoring import classes
from assay.scoring.predictions import FEW_CLASSES, FIELDS, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jaxtyping import Float64, Int64

    from assay.core.config.claim import Claim, Rule
    from assay.scoring.predictions import Array

FILE, SEE = "src/assay/scoring/metrics.py", "see docs/adding-a-metric.md"  # for messages
ECE_BINS = 20
RECALL = "recall."  # the metric `recall.<class>` is the recall of that class
Basis = Literal["examples", "seeds", "exact"]
LACKING = {  # why a variant has no number, by the field of the predictions that it needs
    "predicted": "was evaluated by a version that did not keep the predicted classes; run `dvc repro`",
    "top_5": f"has no top-5 accuracy: it needs more than {FEW_CLASSES} classes",
    "scaled_nll": "has no temperature: there is no validation set to fit one on (data.validation), or an older "
    "version evaluated it (`dvc repro`)",
}
_MISSING: Any = ...  # there is no default, and a TypeError would not say of which metric


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric. One that evaluation computes has `per_example`, `of_confusion` or both: then the counts give the number
    of each seed, and `per_example` its error.

    `basis` is what its error is estimated from: seeds and test examples, seeds alone, or nothing (`exact`: the number
    follows from params.yaml). None: no claim may be about it.
    """

    label: str = _MISSING  # its name in tables
    higher_is_better: bool | None = _MISSING  # None where a claim must state it
    basis: Basis | None = _MISSING
    unit: str = ""  # `%` for shares from 0 to 1, which are shown times 100
    span: str = ""  # what a table says in place of a unit
    per_example: Callable[[Predictions], Any] | None = None  # (seed, example), whose mean is the metric of each seed
    of_confusion: Callable[[Int64[Array, "seed class class"]], Array] | None = None  # by label, then by prediction
    # of a share of right answers: which are right, and what each example counts, on average 1; the rule has a bound
    answers: Callable[[Predictions], tuple[Any, Array | float]] | None = None
    needs: str = ""  # the field of the predictions without which there is no such number, a key of `LACKING`
    control_of: str = ""  # the metric of which this one is the number after temperature scaling; it stands beside it
    shown: bool = False  # whether `dvc metrics` shows it

    def __post_init__(self) -> None:
        """Raises AssayError for an argument that is missing or does not fit."""
        lacks = [f"{name}: missing" for name in ("label", "higher_is_better", "basis") if getattr(self, name) is ...]
        if self.basis not in (..., None, *get_args(Basis)):
            lacks.append(f"basis: got {self.basis!r}; allowed: None, {', '.join(get_args(Basis))}")
        if self.basis == "examples" and not self.per_example:
            lacks.append("an error estimated from test examples needs per_example")
        if lacks:
            raise AssayError(f"{FILE}: {self.label if isinstance(self.label, str) else 'a metric'}: {lacks[0]}; {SEE}")

    @property
    def scale(self) -> int:
        """The factor from the number to what is shown."""
        return 100 if self.unit == "%" else 1

    @property
    def decimals(self) -> int:
        """How many decimals are shown where no spread says it."""
        return 2 if self.unit == "%" else 4

    @property
    def of_differences(self) -> str:
        """The unit of differences."""
        return "points" if self.unit == "%" else self.unit


def _signed_gaps(predictions: Predictions) -> Float64[Array, "seed example"]:
    """Expected calibration error of the most probable class (Naeini et al. 2015), `ECE_BINS` equal bins, l1.

    As a mean over examples: confidence minus correctness, times its sign in the example's bin over the whole test set.
    """
    gaps = predictions.confidence.astype(np.float64) - predictions.correct
    bins = confidence_bins(predictions)
    for row, own in zip(gaps, bins, strict=True):
        row *= np.sign(np.bincount(own, row, ECE_BINS))[own]
    return gaps


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        label="Accuracy", unit="%", higher_is_better=True, basis="examples", shown=True,
        per_example=lambda predictions: predictions.correct, answers=lambda predictions: (predictions.correct, 1.0),
    ),
    "balanced_accuracy": Metric(
        label="Balanced accuracy", unit="%", higher_is_better=True, basis="examples", needs="predicted",
        of_confusion=classes.balanced_accuracy, per_example=classes.balanced_accuracy_influence,
        answers=lambda predictions: (predictions.correct, classes.weights(predictions)),
    ),
    "macro_f1": Metric(
        label="Macro F1", unit="%", higher_is_better=True, basis="examples", needs="predicted",
        of_confusion=classes.macro_f1, per_example=classes.macro_f1_influence,
    ),
    "worst_class": Metric(
        label="Worst-class recall", unit="%", higher_is_better=True, basis="examples", needs="predicted",
        per_example=classes.worst_class_influence,
    ),
    "top_5": Metric(
        label="Top-5 accuracy", unit="%", higher_is_better=True, basis="examples", needs="top_5",
        per_example=lambda predictions: predictions.top_5, answers=lambda predictions: (predictions.top_5, 1.0),
    ),
    "nll": Metric(
        label="NLL", unit="nats", higher_is_better=False, basis="examples", shown=True,
        per_example=lambda predictions: predictions.nll,
    ),
    "brier": Metric(
        label="Brier", span="0 to 2", higher_is_better=False, basis="examples",
        per_example=lambda predictions: predictions.brier,
    ),
    "ece": Metric(
        label="ECE", unit="%", higher_is_better=False, basis="examples", shown=True, per_example=_signed_gaps
    ),
    "scaled_nll": Metric(
        label="Scaled NLL", unit="nats", higher_is_better=False, basis="examples", needs="scaled_nll",
        control_of="nll", per_example=lambda predictions: predictions.scaled.nll,
    ),
    "scaled_brier": Metric(
        label="Scaled Brier", span="0 to 2", higher_is_better=False, basis="examples", needs="scaled_nll",
        control_of="brier", per_example=lambda predictions: predictions.scaled.brier,
    ),
    "scaled_ece": Metric(
        label="Scaled ECE", unit="%", higher_is_better=False, basis="examples", needs="scaled_nll",
        control_of="ece", per_example=lambda predictions: _signed_gaps(predictions.scaled),
    ),
    "temperature": Metric(label="Temperature", higher_is_better=None, basis="seeds"),
    "best_step": Metric(label="Step of the least loss", unit="steps", higher_is_better=False, basis="seeds"),
    "best_step_accuracy": Metric(label="Accuracy at early stop", unit="%", higher_is_better=True, basis="seeds"),
    "train_samples": Metric(label="Training samples", higher_is_better=False, basis="exact"),
    "forward_samples": Metric(label="Forward samples", higher_is_better=False, basis="exact"),
    "optimizer_steps": Metric(label="Optimizer steps", unit="steps", higher_is_better=False, basis="exact"),
    "training_cost": Metric(label="Training cost", higher_is_better=False, basis="exact"),
    "training_flops": Metric(label="Training FLOPs", higher_is_better=False, basis="exact"),
    "inference_cost": Metric(label="Inference cost", higher_is_better=False, basis="exact"),
    "inference_flops": Metric(label="Inference FLOPs", higher_is_better=False, basis="exact"),
    "members": Metric(label="Members", higher_is_better=False, basis="exact"),
    "density": Metric(label="Density", higher_is_better=False, basis="exact"),
    "disagreement": Metric(label="Disagreement", unit="%", higher_is_better=None, basis="seeds"),
    "total_variation": Metric(label="Total variation", unit="%", higher_is_better=None, basis="seeds"),
}  # fmt: skip


def measured() -> list[str]:
    """The metrics of the test set that are means over examples, of any predictions."""
    return [name for name, one in METRICS.items() if one.per_example and not one.of_confusion and not one.needs]


def quality() -> list[str]:
    """The metrics that evaluation computes of every variant whose predictions have what they need."""
    return [name for name, one in METRICS.items() if one.per_example or one.of_confusion]


def results() -> list[str]:
    """Those of them that stand in tables of results: all but the controls."""
    return [name for name in quality() if not METRICS[name].control_of]


def control_of(metric: str) -> str | None:
    """The metric that is this one after temperature scaling."""
    return next((name for name, one in METRICS.items() if one.control_of == metric), None)


def lookup(metric: str) -> Metric:
    """The entry of a metric; of `record.<key>` one with a label alone.

    The recall of a class is accuracy on its examples, those that `subject` leaves.
    """
    if metric.startswith(RECALL):
        label = f"Recall of {metric.removeprefix(RECALL)}"
        return replace(METRICS["accuracy"], label=label, needs="predicted", shown=False)
    label = metric.removeprefix(RECORD).replace("_", " ").capitalize()
    return METRICS.get(metric) or Metric(label=label, higher_is_better=None, basis="seeds")


def is_exact(metric: str | None) -> bool:
    """Whether the number follows from params.yaml, so that there is nothing to test."""
    return lookup(str(metric)).basis == "exact"


def check(claims: Iterable[Claim], rule: Rule) -> None:
    """Refuse claims about metrics that do not exist, or whose direction or smallest difference nobody states.

    Raises:
        AssayError: there are such claims, a line each, more than `rule.tests`, or a metric whose numbers do not fit.
    """
    rows: dict[str, Any] = dict.fromkeys(FIELDS, np.ones((2, 3), np.float32)) | {"correct": np.ones((2, 3), np.uint8)}
    rows |= {"labels": np.ones(3, np.uint16), "predicted": np.ones((2, 3), np.uint16)}
    for name in (name for name, one in METRICS.items() if one.per_example):
        try:
            per_example(name, Predictions(**rows))
        except (AttributeError, TypeError, IndexError, ValueError) as error:
            raise AssayError(f"{FILE}: {name}: per_example: {error}; {SEE}") from error
    lines, tested = [], 0
    for claim in claims:
        if claim.preset is not None:
            continue
        metric, where = str(claim.metric), f"{PARAMS_FILE}: claims.{claim.id}"
        exact, known = is_exact(metric), METRICS.get(metric)
        tested += not exact
        if not metric.startswith((RECORD, RECALL)) and (known is None or known.basis is None):
            allowed = [*(name for name, one in METRICS.items() if one.basis), f"{RECALL}<class>", f"{RECORD}<key>"]
            lines.append(f"{where}.metric: got {metric!r}; {suggestion(metric, allowed)}")
        elif claim.verdict == "better" and claim.matters is None and metric != "accuracy" and not exact:
            missing = f"give the smallest difference in {metric} that matters (for accuracy, `rule.matters` says it)"
            lines.append(f"{where}.matters: missing; {missing}")
        elif claim.verdict != "ratio" and claim.more_is_better is None and lookup(metric).higher_is_better is None:
            missing = f"say whether more of {metric} is better, true or false"
            lines.append(f"{where}.more_is_better: missing; {missing}")
    if tested > rule.tests:
        less = f"{rule.tests} is less than the {tested} claims that are tested; raise it"
        lines.append(f"{PARAMS_FILE}: rule.tests: {less}")
    if lines:
        raise AssayError("\n".join(lines))


def per_example(metric: str, predictions: Predictions) -> Float64[Array, "seed example"]:
    """Numbers of each example whose mean over examples is the metric of each seed."""
    return _per_example(metric, predictions).astype(np.float64)


def per_seed(metric: str, predictions: Predictions) -> Float64[Array, " seed"]:
    """The metric of each seed."""
    if of_confusion := lookup(metric).of_confusion:
        return of_confusion(classes.confusion(predictions)).astype(np.float64)
    return _per_example(metric, predictions).mean(1, dtype=np.float64)  # type: ignore[no-any-return]


def has(metric: str, predictions: Predictions) -> bool:
    """Whether the predictions have what a metric is computed from."""
    return not (needs := lookup(metric).needs) or getattr(predictions, needs) is not None


def subject(metric: str, predictions: Predictions, names: list[str]) -> Predictions:
    """The predictions that a metric is about: of `recall.<class>` those of the class's examples, else all of them.

    `names` are those of the classes, by label.

    Raises:
        AssayError: the predictions lack what the metric needs, or the class has no test example; the line is to follow
            the name of the variant.
    """
    if not has(metric, predictions):
        raise AssayError(LACKING[lookup(metric).needs])
    if not metric.startswith(RECALL):
        return predictions
    name = metric.removeprefix(RECALL)
    if name not in names:
        raise AssayError(f"has no class {name!r}; {suggestion(name, names)}")
    inside = predictions.labels == names.index(name)
    if not inside.any():  # type: ignore[union-attr]
        raise AssayError(f"has no test example of the class {name!r}, so no recall; claim another class")
    return Predictions(**{field: one[..., inside] for field, one in predictions.arrays().items()})


def _per_example(metric: str, predictions: Predictions) -> Array:
    found, shape = lookup(metric).per_example(predictions), predictions.correct.shape  # type: ignore[misc]
    if np.shape(found) != shape:
        gives = f"per_example gives {np.shape(found)}, it must be (seed, example) = {shape}"
        raise AssayError(f"{FILE}: {metric}: {gives}; {SEE}")
    return found  # type: ignore[no-any-return]


def confidence_bins(predictions: Predictions) -> Int64[Array, "seed example"]:
    """The bin, 0 to `ECE_BINS` - 1, of each confidence: bin k holds [k, k + 1) / `ECE_BINS`, and the last also 1."""
    edges = np.linspace(0, 1, ECE_BINS + 1)
    bins = np.searchsorted(edges, predictions.confidence.astype(np.float64), side="right") - 1
    return np.minimum(bins, ECE_BINS - 1)


def reliability(predictions: Predictions) -> list[tuple[int, float, float]]:
    """For each bin of confidence, all seeds together: examples, mean confidence, share that is right; 0 if empty."""
    bins = confidence_bins(predictions).ravel()
    counts = np.bincount(bins, minlength=ECE_BINS)
    columns = [counts.tolist()]
    for values in (predictions.confidence, predictions.correct):
        sums = np.bincount(bins, values.ravel().astype(np.float64), ECE_BINS)
        columns.append(np.round(sums / np.maximum(counts, 1), 6).tolist())
    return list(zip(*columns, strict=True))
