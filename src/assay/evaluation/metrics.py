"""The metrics: one number a seed, from the predictions of a variant (`docs/evaluation.md` has the formulas)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float64, Int64

    from assay.evaluation.predictions import Array, Predictions

Metric = Literal["accuracy", "nll", "brier", "ece"]
METRICS: tuple[Metric, ...] = get_args(Metric)
ECE_BINS = 20
_BELOW_ONE = float(np.nextafter(1.0, 0.0))


def higher_is_better(metric: Metric) -> bool:
    """Whether more of the metric is better: so for accuracy, not for losses and errors."""
    return metric == "accuracy"


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
    """Expected calibration error of the most probable class (Naeini et al. 2015), `ECE_BINS` equal bins, l1.

    It is torchmetrics', which gives a confidence of exactly 1 a bin of its own; the definition puts it into the last,
    so such a confidence is first moved down by one last bit.
    """
    from torchmetrics.functional.classification import binary_calibration_error  # slow to import

    return np.array(
        [
            float(
                binary_calibration_error(
                    torch.from_numpy(np.minimum(confidence, _BELOW_ONE, dtype=np.float64)),
                    torch.from_numpy(correct).long(),
                    n_bins=ECE_BINS,
                    norm="l1",
                    validate_args=False,
                )
            )
            for confidence, correct in zip(predictions.confidence, predictions.correct, strict=True)
        ]
    )


def confidence_bins(predictions: Predictions) -> Int64[Array, "seed example"]:
    """The bin, 0 to `ECE_BINS` - 1, of each confidence: bin k holds [k, k + 1) / `ECE_BINS`, and the last also 1."""
    edges = np.linspace(0, 1, ECE_BINS + 1)
    bins = np.searchsorted(edges, predictions.confidence.astype(np.float64), side="right") - 1
    return np.minimum(bins, ECE_BINS - 1)


_PER_SEED: dict[Metric, Callable[[Predictions], Float64[Array, " seed"]]] = {
    "accuracy": accuracy,
    "nll": nll,
    "brier": brier,
    "ece": ece,
}
