"""The metrics: one number a seed, from the predictions of a variant (`docs/evaluation.md` has the formulas)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float64, Int64

    from assay.evaluation.scoring.predictions import Array, Predictions

Metric = Literal["accuracy", "nll", "brier", "ece"]
METRICS: tuple[Metric, ...] = get_args(Metric)
ECE_BINS = 20


def per_seed(metric: Metric, predictions: Predictions) -> Float64[Array, " seed"]:
    """The metric of each seed."""
    return _PER_SEED[metric](predictions)


def accuracy(predictions: Predictions) -> Float64[Array, " seed"]:
    """The share of examples whose most probable class is the label."""
    return predictions.correct.mean(1, dtype=np.float64)  # type: ignore[no-any-return]


def nll(predictions: Predictions) -> Float64[Array, " seed"]:
    """Negative log-likelihood: the mean of minus the natural logarithm of the label's probability, in nats."""
    return predictions.nll.mean(1, dtype=np.float64)  # type: ignore[no-any-return]


def brier(predictions: Predictions) -> Float64[Array, " seed"]:
    """Brier score (Brier 1950): the mean squared distance of the probabilities from the label, summed over classes."""
    return predictions.brier.mean(1, dtype=np.float64)  # type: ignore[no-any-return]


def ece(predictions: Predictions) -> Float64[Array, " seed"]:
    """Expected calibration error of the most probable class (Naeini et al. 2015), `ECE_BINS` equal bins, l1."""
    return per_example("ece", predictions).mean(1)  # type: ignore[no-any-return]


def confidence_bins(predictions: Predictions) -> Int64[Array, "seed example"]:
    """The bin, 0 to `ECE_BINS` - 1, of each confidence: bin k holds [k, k + 1) / `ECE_BINS`, and the last also 1."""
    edges = np.linspace(0, 1, ECE_BINS + 1)
    bins = np.searchsorted(edges, predictions.confidence.astype(np.float64), side="right") - 1
    return np.minimum(bins, ECE_BINS - 1)


def per_example(metric: Metric, predictions: Predictions) -> Float64[Array, "seed example"]:
    """Numbers of each example whose mean over examples is the metric of each seed.

    Calibration error is no mean of examples, but once it is known in which bins the network is too sure, it is one:
    confidence minus correctness counts positive there and negative elsewhere. The signs are the whole test set's.
    """
    if metric != "ece":
        values = getattr(predictions, "correct" if metric == "accuracy" else metric)
        return values.astype(np.float64)  # type: ignore[no-any-return]
    gaps = predictions.confidence.astype(np.float64) - predictions.correct
    bins = confidence_bins(predictions)
    for row, own in zip(gaps, bins, strict=True):
        row *= np.sign(np.bincount(own, row, ECE_BINS))[own]
    return gaps


def reliability(predictions: Predictions) -> list[tuple[int, float, float]]:
    """For each bin of confidence, all seeds together: examples, their mean confidence, the share that is right.

    An empty bin has zeros.
    """
    bins = confidence_bins(predictions).ravel()
    counts = np.bincount(bins, minlength=ECE_BINS)
    sums = (
        np.bincount(bins, values.ravel().astype(np.float64), ECE_BINS) / np.maximum(counts, 1)
        for values in (predictions.confidence, predictions.correct)
    )
    columns = (counts.tolist(), *(np.round(column, 6).tolist() for column in sums))
    return list(zip(*columns, strict=True))


def by_class(confusion: Int64[Array, "seed class class"]) -> dict[str, list[float]]:
    """Balanced accuracy and macro F1 of each seed, as scikit-learn defines them, over the classes of the test set.

    Balanced accuracy is the mean recall of the classes. Macro F1 is the mean of their F1 = 2 TP / (2 TP + FP + FN),
    which is 0 for a class that is never predicted. A class without a test example counts in neither.

    Args:
        confusion: examples by their label, then by what was predicted.
    """
    right = np.diagonal(confusion, axis1=1, axis2=2)
    labelled, predicted = confusion.sum(2), confusion.sum(1)
    there = labelled[0] > 0
    recall = right[:, there] / labelled[:, there]
    f1 = 2 * right[:, there] / (labelled + predicted)[:, there]
    return {"balanced_accuracy": recall.mean(1).tolist(), "macro_f1": f1.mean(1).tolist()}


_PER_SEED: dict[Metric, Callable[[Predictions], Float64[Array, " seed"]]] = {
    "accuracy": accuracy,
    "nll": nll,
    "brier": brier,
    "ece": ece,
}
