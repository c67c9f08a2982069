"""The metrics against values worked out by hand, and properties that any predictions have."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assay.scoring import metrics
from assay.scoring.predict import score
from assay.scoring.predictions import Predictions


def with_confidence(correct, confidence) -> Predictions:
    correct, confidence = np.atleast_2d(correct).astype(np.uint8), np.atleast_2d(confidence).astype(np.float32)
    return Predictions(correct, confidence, np.zeros_like(confidence), np.zeros_like(confidence))


def by_definition(correct, confidence, bins=metrics.ECE_BINS) -> float:
    """Bin k holds [k, k + 1) / bins, the last also 1; the gap of each bin, weighted by its share of the examples."""
    total = 0.0
    for k in range(bins):
        upper = confidence <= 1 if k == bins - 1 else confidence < (k + 1) / bins
        inside = (confidence >= k / bins) & upper
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


@pytest.fixture
def by_hand() -> Predictions:
    """Two seeds, three examples, three classes."""
    probabilities = torch.tensor(
        [
            [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]],
            [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]],
        ],
        dtype=torch.float64,
    )
    return score(probabilities, torch.tensor([0, 1, 2]), "mean_probability")


def test_accuracy_by_hand(by_hand):
    assert metrics.per_seed("accuracy", by_hand) == pytest.approx([2 / 3, 2 / 3])


def test_nll_by_hand(by_hand):
    expected = [-np.log([0.7, 0.8, 0.2]).mean(), -np.log([0.2, 1.0, 0.8]).mean()]
    assert metrics.per_seed("nll", by_hand) == pytest.approx(expected, rel=1e-6)


def test_brier_by_hand(by_hand):
    first = (0.3**2 + 0.2**2 + 0.1**2) + (0.1**2 + 0.2**2 + 0.1**2) + (0.5**2 + 0.3**2 + 0.8**2)
    second = (0.8**2 + 0.5**2 + 0.3**2) + 0 + (0.1**2 + 0.1**2 + 0.2**2)
    assert metrics.per_seed("brier", by_hand) == pytest.approx([first / 3, second / 3], rel=1e-6)


def test_ece_by_hand():
    # bin 19 holds three: 2 of 3 right at a mean confidence of 0.97; bin 12 holds one, wrong, at 0.6
    made = with_confidence([1, 1, 0, 0], [0.96, 0.96, 0.99, 0.6])
    assert metrics.per_seed("ece", made) == pytest.approx([(abs(2 - 2.91) + 0.6) / 4], rel=1e-5)


def test_a_confidence_of_one_lies_in_the_last_bin():
    # apart, the two gaps add up to 0.02 + 0; together, -0.04 and +0.96 - 0.98 would hide each other
    made = with_confidence([1, 0], [0.96, 1.0])
    assert metrics.per_seed("ece", made) == pytest.approx([abs(1 - 1.96) / 2], rel=1e-5)
    assert metrics.confidence_bins(made).tolist() == [[19, 19]]


def test_a_bin_holds_its_lower_edge():
    made = with_confidence([1, 1, 1, 1], [0.0, 0.25, 0.5, 0.75])  # edges that float32 holds exactly
    assert metrics.confidence_bins(made).tolist() == [[0, 5, 10, 15]]


confidences = arrays.arrays(np.float32, (1, 30), elements=st.floats(0, 1, width=32))
answers = arrays.arrays(np.uint8, (1, 30), elements=st.integers(0, 1))


@pytest.fixture(scope="module")
def torchmetrics():
    """Imported late: four seconds, which every worker would spend to collect this file."""
    from torchmetrics.functional import classification

    return classification


@settings(deadline=None)
@given(answers, confidences)
def test_ece_is_its_definition_and_that_of_torchmetrics(torchmetrics, correct, confidence):
    confidence = np.minimum(confidence, np.float32(0.999))  # torchmetrics gives exactly 1 a bin of its own
    made = with_confidence(correct, confidence)
    found = metrics.per_seed("ece", made)[0]
    given = torch.from_numpy(confidence[0]).double(), torch.from_numpy(correct[0]).long()
    reference = torchmetrics.binary_calibration_error(*given, n_bins=metrics.ECE_BINS, norm="l1")
    assert found == pytest.approx(float(reference), abs=1e-6)
    assert found == pytest.approx(by_definition(correct[0], confidence[0].astype(np.float64)), abs=1e-9)
    assert 0 <= found <= 1


@settings(deadline=None)
@given(st.integers(0, metrics.ECE_BINS), st.integers(0, 1))
def test_ece_is_its_definition_on_the_edges_of_bins(edge, correct):
    made = with_confidence([correct, 1], [edge / metrics.ECE_BINS, 0.5])
    expected = by_definition(made.correct[0], made.confidence[0].astype(np.float64))
    assert metrics.per_seed("ece", made)[0] == pytest.approx(expected, abs=1e-9)


logits = arrays.arrays(np.float32, (2, 12, 5), elements=st.floats(-30, 30, width=32))
labels = arrays.arrays(np.int64, (12,), elements=st.integers(0, 4))


@settings(deadline=None)
@given(logits, labels)
def test_properties_of_any_predictions(torchmetrics, logits, labels):
    probabilities = torch.from_numpy(logits).double().softmax(-1)
    made = score(probabilities, torch.from_numpy(labels), "mean_probability")
    assert (metrics.per_seed("nll", made) >= 0).all()
    assert ((metrics.per_seed("brier", made) >= 0) & (metrics.per_seed("brier", made) <= 2)).all()
    reference = [
        torchmetrics.multiclass_accuracy(row.argmax(-1), torch.from_numpy(labels), 5, average="micro")
        for row in probabilities
    ]
    assert metrics.per_seed("accuracy", made) == pytest.approx([float(value) for value in reference])
    direct = torch.nn.functional.nll_loss(probabilities[0].log(), torch.from_numpy(labels))
    assert metrics.per_seed("nll", made)[0] == pytest.approx(float(direct), rel=1e-5, abs=1e-6)


@settings(deadline=None)
@given(logits, labels, st.permutations(range(12)))
def test_the_order_of_examples_makes_no_difference(logits, labels, order):
    probabilities, labels = torch.from_numpy(logits).double().softmax(-1), torch.from_numpy(labels)
    one = score(probabilities, labels, "mean_probability")
    other = score(probabilities[:, order], labels[order], "mean_probability")
    for metric in metrics.measured():
        assert metrics.per_seed(metric, one) == pytest.approx(metrics.per_seed(metric, other), abs=1e-6)


@settings(deadline=None)
@given(logits, labels)
def test_every_metric_is_a_mean_over_examples(logits, labels):
    probabilities = torch.from_numpy(logits).double().softmax(-1)
    made = score(probabilities, torch.from_numpy(labels), "mean_probability")
    for metric in metrics.measured():
        assert metrics.per_example(metric, made).mean(1) == pytest.approx(metrics.per_seed(metric, made), abs=1e-6)


def test_reliability_pools_seeds():
    made = with_confidence([[1, 0], [1, 1]], [[0.96, 0.26], [0.98, 0.97]])
    bins = metrics.reliability(made)
    assert len(bins) == metrics.ECE_BINS
    assert bins[5] == (1, pytest.approx(0.26), 0.0)
    assert bins[19] == (3, pytest.approx(0.97), 1.0)
    assert bins[0] == (0, 0.0, 0.0)


@given(answers, confidences)
def test_the_bins_give_the_calibration_error(correct, confidence):
    made = with_confidence(correct, confidence)
    gaps = [count * abs(sure - right) for count, sure, right in metrics.reliability(made)]
    assert sum(gaps) / correct.size == pytest.approx(metrics.per_seed("ece", made)[0], abs=1e-5)
