"""Metrics of classes: their influence values average to them, and to scikit-learn's; seeds stay by themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score, recall_score

from assay.analysis.statistics import mean_of, share_interval
from assay.core.errors import AssayError
from assay.scoring import classes, metrics
from assay.scoring.predictions import Predictions, joined

OF_CLASSES = ("balanced_accuracy", "macro_f1", "worst_class")
NAMES = ["cat", "dog", "emu", "fox"]


def answering(labels, predicted) -> Predictions:
    labels, predicted = np.asarray(labels, np.uint16), np.atleast_2d(predicted).astype(np.uint16)
    zeros = np.zeros(predicted.shape, np.float32)
    return Predictions((labels == predicted).astype(np.uint8), zeros, zeros, zeros, labels=labels, predicted=predicted)


labels = arrays.arrays(np.int64, (30,), elements=st.integers(0, 3))
answers = arrays.arrays(np.int64, (2, 30), elements=st.integers(0, 4))  # one class has no test example


@settings(max_examples=25)
@given(labels, answers)
def test_influence_values_average_to_scikit_learns_metrics(labels, predicted):
    made = answering(labels, predicted)
    over_those_there = {"labels": sorted(set(labels.tolist())), "average": "macro", "zero_division": 0}
    for metric, expected in (
        ("balanced_accuracy", [recall_score(labels, row, **over_those_there) for row in predicted]),
        ("macro_f1", [f1_score(labels, row, **over_those_there) for row in predicted]),
    ):
        assert metrics.per_seed(metric, made) == pytest.approx(expected)
        assert metrics.per_example(metric, made).mean(1) == pytest.approx(expected)


def test_balanced_accuracy_of_whoever_answers_the_largest_class_is_one_over_the_classes():
    labels = [0] * 95 + [1] * 5
    made = answering(labels, [0] * 100)
    assert metrics.per_seed("balanced_accuracy", made).tolist() == [0.5]
    assert metrics.per_seed("macro_f1", made) == pytest.approx([95 / 195])
    assert metrics.per_seed("worst_class", made) == pytest.approx([0.0])


@settings(max_examples=25)
@given(labels, answers)
def test_a_seed_s_numbers_do_not_depend_on_other_seeds(labels, predicted):
    """Else a look at ten seeds would change when the eleventh is there."""
    made = answering(labels, predicted)
    for metric in OF_CLASSES:
        both = metrics.per_example(metric, made)
        for seed in (0, 1):
            assert (metrics.per_example(metric, made.of_seeds([seed]))[0] == both[seed]).all()


def test_influence_is_what_one_more_example_does():
    """The derivative by hand: an example counted a thousandth more."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    predicted = np.where(rng.random(200) < 0.7, labels, rng.integers(0, 4, 200))
    made, more = answering(labels, predicted), 1e-3
    for metric, of_counts in (("balanced_accuracy", classes.balanced_accuracy), ("macro_f1", classes.macro_f1)):
        counts = classes.confusion(made).astype(np.float64)
        found = metrics.per_example(metric, made)[0] - of_counts(counts)
        for at in range(0, 200, 25):
            heavier = counts.copy()
            heavier[0, labels[at], predicted[at]] += more
            expected = (of_counts(heavier) - of_counts(counts))[0] / more * 200
            assert found[at] == pytest.approx(expected, abs=2e-3)


def test_the_worst_class_is_its_recall_where_it_stands_apart():
    labels = np.repeat(np.arange(4), 50)
    predicted = labels.copy()
    predicted[50:75] = 0
    predicted[:5] = 1
    made = answering(labels, predicted)
    assert metrics.per_seed("worst_class", made) == pytest.approx([0.5])


def test_classes_that_are_equally_hard_have_no_worst_one():
    """The least of ten measured recalls lies below the truth, and the cross-fitted one does not."""
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), 50)
    predicted = np.where(rng.random((400, 500)) < 0.8, labels, (labels + 1) % 10)
    made = answering(labels, predicted)
    least = [min(row[labels == one].mean() for one in range(10)) for row in made.correct]
    assert np.mean(least) < 0.73
    assert metrics.per_seed("worst_class", made).mean() == pytest.approx(0.8, abs=0.01)


def drawn(rng, labels, skill, difficulty) -> Predictions:
    """Five networks that err mostly where others do, each a little by itself."""
    shape = (5, len(labels))
    noise = 0.77 * difficulty + 0.63 * rng.normal(size=shape)
    right = noise < skill[labels] + 0.05 * rng.normal(size=(5, 1))
    return answering(labels, np.where(right, labels, (labels + rng.integers(1, 5, size=shape)) % 5))


def test_intervals_of_balanced_accuracy_and_macro_f1_hold_the_truth_as_often_as_they_say():
    rng, shares = np.random.default_rng(2), np.array([0.05, 0.1, 0.15, 0.2, 0.5])
    sides = np.array([1.0, 0.8, 1.2, 1.0, 0.9]), np.array([0.9, 1.0, 1.0, 1.1, 1.0])

    def difference(examples: int, metric: str):
        labels, hard = rng.choice(5, examples, p=shares), rng.normal(size=examples)
        one, other = (metrics.per_example(metric, drawn(rng, labels, side, hard)) for side in sides)
        return one - other

    for metric in ("balanced_accuracy", "macro_f1"):
        truth = difference(200_000, metric).mean()
        found = [mean_of(difference(600, metric), tuple(range(5)), examples=True) for _ in range(150)]
        inside = np.mean([low <= truth <= high for low, high in (one.interval() for one in found)])
        assert inside >= 0.9
        spread, claimed = np.std([one.value for one in found]), np.mean([one.error for one in found])
        assert claimed == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(("examples", "truth"), [(20, 0.98), (100, 0.9), (40, 0.05)])
def test_intervals_of_a_share_hold_the_truth_and_stay_between_0_and_1(examples, truth):
    rng, found = np.random.default_rng(3), []
    for _ in range(200):
        hard = rng.random(examples)
        right = (np.where(rng.random((5, examples)) < 0.7, hard, rng.random((5, examples))) < truth).astype(float)
        low, high = share_interval(right, range(5))
        assert 0 <= low <= right.mean() <= high <= 1
        found.append(low <= truth <= high)
    assert np.mean(found) >= 0.93


def test_a_class_all_of_whose_examples_are_recognised_has_an_interval():
    low, high = share_interval(np.ones((5, 20)), range(5))
    assert (high, low) == (1.0, pytest.approx(1 + np.log(0.025) / 20))  # what 20 examples without an error leave open
    assert share_interval(np.ones((1, 20)), [0]) is None


def test_recall_is_accuracy_on_the_class_s_examples():
    made = answering([0, 0, 1, 1, 1], [[0, 1, 1, 1, 0], [0, 0, 1, 0, 0]])
    found = metrics.subject("recall.dog", made, NAMES)
    assert metrics.per_example("recall.dog", found).tolist() == [[1, 1, 0], [1, 0, 0]]
    assert metrics.per_seed("recall.dog", found) == pytest.approx([2 / 3, 1 / 3])
    assert metrics.lookup("recall.dog").label == "Recall of dog"
    with pytest.raises(AssayError, match=r"^has no class 'dogs'; did you mean dog\?"):
        metrics.subject("recall.dogs", made, NAMES)
    with pytest.raises(AssayError, match=r"^has no test example of the class 'fox'"):
        metrics.subject("recall.fox", made, NAMES)


def test_blocks_of_seeds_are_joined_with_the_fields_that_all_have():
    one, other = answering([0, 1], [[0, 1]]), answering([0, 1], [[1, 1], [0, 0]])
    both = joined([one, other])
    assert both.labels.tolist() == [0, 1]
    assert both.predicted.tolist() == [[0, 1], [1, 1], [0, 0]]
    old = Predictions(other.correct, other.confidence, other.nll, other.brier)
    assert joined([one, old]).arrays().keys() == {"correct", "confidence", "nll", "brier"}


@pytest.mark.parametrize(
    ("metric", "why"),
    [("macro_f1", "did not keep the predicted classes; run `dvc repro`"), ("top_5", "more than 20 classes"),
     ("scaled_ece", "no validation set")],
)  # fmt: skip
def test_predictions_without_what_a_metric_needs_say_so(metric, why):
    zeros = np.zeros((2, 3), np.float32)
    made = Predictions(zeros.astype(np.uint8), zeros, zeros, zeros)
    assert not metrics.has(metric, made)
    with pytest.raises(AssayError, match=why):
        metrics.subject(metric, made, NAMES)
