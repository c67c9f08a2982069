"""The metrics, one entry each in `METRICS`, and the numbers that they make of predictions.

Claims, the summary, the report, MLflow and the comparison of branches all read this table, so a new metric is one entry
(docs/adding-a-metric.md). docs/evaluation.md has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from assay.core.config import PARAMS_FILE
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.scoring.predictions import FIELDS, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jaxtyping import Float64, Int64

    from assay.core.config.claim import Claim, Rule
    from assay.scoring.predictions import Array

FILE, SEE = "src/assay/scoring/metrics.py", "see docs/adding-a-metric.md"  # for messages
ECE_BINS = 20
Basis = Literal["examples", "seeds", "exact"]
_MISSING: Any = ...  # there is no default, and a TypeError would not say of which metric


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric. One that evaluation computes has either `per_example` or `of_confusion`.

    `basis` is what its error is estimated from: seeds and test examples, seeds alone, or nothing (`exact`: the number
    follows from params.yaml). None: no claim may be about it.
    """

    label: str = _MISSING  # its name in tables
    higher_is_better: bool | None = _MISSING  # None where a claim must state it
    basis: Basis | None = _MISSING
    unit: str = ""  # `%` for shares from 0 to 1, which are shown times 100
    span: str = ""  # what a table says in place of a unit
    per_example: Callable[[Predictions], Array] | None = None  # (seed, example), whose mean is the metric of each seed
    of_confusion: Callable[[Int64[Array, "seed class class"]], Array] | None = None  # by label, then by prediction
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


def _classes(confusion: Int64[Array, "seed class class"]) -> tuple[Array, Array, Array]:
    """Correct, labelled and predicted examples `(seed, class)` of the classes that the test set has."""
    there = confusion.sum(2)[0] > 0
    right = np.diagonal(confusion, axis1=1, axis2=2)
    return right[:, there], confusion.sum(2)[:, there], confusion.sum(1)[:, there]


def _balanced_accuracy(confusion: Int64[Array, "seed class class"]) -> Array:
    """Mean recall of the classes, as in scikit-learn."""
    right, labelled, _ = _classes(confusion)
    return (right / labelled).mean(1)  # type: ignore[no-any-return]


def _macro_f1(confusion: Int64[Array, "seed class class"]) -> Array:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), as in scikit-learn; 0 for a class that is never predicted."""
    right, labelled, predicted = _classes(confusion)
    return (2 * right / (labelled + predicted)).mean(1)  # type: ignore[no-any-return]


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        label="Accuracy", unit="%", higher_is_better=True, basis="examples", shown=True,
        per_example=lambda predictions: predictions.correct,
    ),
    "balanced_accuracy": Metric(
        label="Balanced accuracy", unit="%", higher_is_better=True, basis=None, of_confusion=_balanced_accuracy
    ),
    "macro_f1": Metric(label="Macro F1", unit="%", higher_is_better=True, basis=None, of_confusion=_macro_f1),
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
    """The metrics of the test set that are means over examples."""
    return [name for name, one in METRICS.items() if one.per_example]


def quality() -> list[str]:
    """The metrics that evaluation computes of every variant."""
    return [name for name, one in METRICS.items() if one.per_example or one.of_confusion]


def lookup(metric: str) -> Metric:
    """The entry of a metric; of `record.<key>` one with a label alone."""
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
    rows = dict.fromkeys(FIELDS, np.ones((2, 3), np.float32)) | {"correct": np.ones((2, 3), np.uint8)}
    for name in measured():
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
        if not metric.startswith(RECORD) and (known is None or known.basis is None):
            allowed = [*(name for name, one in METRICS.items() if one.basis), f"{RECORD}<key>"]
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
    return _per_example(metric, predictions).mean(1, dtype=np.float64)  # type: ignore[no-any-return]


def _per_example(metric: str, predictions: Predictions) -> Array:
    found, shape = METRICS[metric].per_example(predictions), predictions.correct.shape  # type: ignore[misc]
    if np.shape(found) != shape:
        gives = f"per_example gives {np.shape(found)}, it must be (seed, example) = {shape}"
        raise AssayError(f"{FILE}: {metric}: {gives}; {SEE}")
    return found


def by_class(confusion: Int64[Array, "seed class class"]) -> dict[str, list[float]]:
    """The metrics of each seed that are computed from counts of examples by label, then by prediction."""
    return {name: one.of_confusion(confusion).tolist() for name, one in METRICS.items() if one.of_confusion}


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
