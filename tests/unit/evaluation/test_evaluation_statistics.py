"""Paired differences: deterministic, mirrored, equal to plain resampling, honest about what cannot be paired."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.evaluation import metrics, statistics
from assay.evaluation.predictions import FIELDS, Predictions


def made(seed: int, seeds: int = 3, examples: int = 60, better: float = 0.0) -> Predictions:
    rng = np.random.default_rng(seed)
    correct = (rng.random((seeds, examples)) < 0.8 + better).astype(np.uint8)
    confidence = rng.uniform(0.3, 1.0, (seeds, examples)).astype(np.float32)
    loss = rng.exponential(0.3, (seeds, examples)).astype(np.float32)
    return Predictions(correct, confidence, loss, np.minimum(loss, 2))


def compare(metric, arm, against, arm_seeds=(0, 1, 2), against_seeds=(0, 1, 2), **options):
    return statistics.paired_difference(metric, arm, against, arm_seeds, against_seeds, **{"resamples": 400} | options)


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_the_estimate_is_the_difference_of_the_means(metric):
    arm, against = made(0), made(1)
    expected = metrics.per_seed(metric, arm).mean() - metrics.per_seed(metric, against).mean()
    assert compare(metric, arm, against).estimate == pytest.approx(expected)


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_the_same_inputs_give_the_same_interval(metric):
    assert compare(metric, made(0), made(1)) == compare(metric, made(0), made(1))


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_swapping_the_sides_mirrors_the_interval(metric):
    forth, back = compare(metric, made(0), made(1)), compare(metric, made(1), made(0))
    assert forth.estimate == pytest.approx(-back.estimate)
    assert forth.interval == pytest.approx((-back.interval[1], -back.interval[0]))


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_weighting_examples_is_the_same_as_drawing_them(metric):
    """The fast way, counts times values, against the plain one: index the predictions and compute the metric."""
    arm, against = made(0), made(1)
    drawn = np.random.default_rng(5).integers(0, 60, (7, 60))
    reweighted = (
        statistics._ece_difference(arm, against)
        if metric == "ece"
        else statistics._mean_difference(metric, arm, against)
    )
    plain = [
        metrics.per_seed(metric, Predictions(*(getattr(arm, field)[:, row] for field in FIELDS)))
        - metrics.per_seed(metric, Predictions(*(getattr(against, field)[:, row] for field in FIELDS)))
        for row in drawn
    ]
    assert reweighted(statistics._counts(drawn)) == pytest.approx(np.array(plain), abs=1e-9)


@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_counts_count(rows, columns, seed):
    drawn = np.random.default_rng(seed).integers(0, columns, (rows, columns))
    counts = statistics._counts(drawn)
    assert (counts.sum(1) == columns).all()
    assert (counts == [[(row == i).sum() for i in range(columns)] for row in drawn]).all()


def test_a_variant_does_not_differ_from_itself():
    found = compare("accuracy", made(0), made(0))
    assert (found.estimate, found.interval) == (0.0, (0.0, 0.0))


def test_seeds_are_paired_whatever_their_order():
    arm, against = made(0), made(1)
    turned = compare("accuracy", arm.of_seeds([2, 0, 1]), against, arm_seeds=(2, 0, 1))
    assert turned.estimate == pytest.approx(compare("accuracy", arm, against).estimate)


def test_only_common_seeds_count():
    arm, against = made(0), made(1)
    found = compare("nll", arm, against, arm_seeds=(4, 1, 2), against_seeds=(1, 2, 9))
    expected = metrics.nll(arm)[[1, 2]].mean() - metrics.nll(against)[[0, 1]].mean()
    assert found.seeds == (1, 2)
    assert found.estimate == pytest.approx(expected)
    assert found.interval is not None


def test_one_common_seed_gives_a_difference_and_no_interval():
    found = compare("accuracy", made(0), made(1), arm_seeds=(0, 1, 2), against_seeds=(2, 3, 4))
    assert found.estimate is not None
    assert found.interval is None
    assert "two or more" in found.reason


def test_no_common_seed_gives_nothing():
    found = compare("accuracy", made(0), made(1), against_seeds=(7, 8, 9))
    assert (found.estimate, found.interval, found.reason) == (None, None, "no seed is common to both")


def test_another_test_set_is_a_mistake():
    with pytest.raises(ValueError, match="60 examples against 50"):
        compare("accuracy", made(0), made(1, examples=50))


def test_a_wider_confidence_is_a_wider_interval():
    narrow = compare("accuracy", made(0), made(1, better=0.1), confidence=0.5).interval
    wide = compare("accuracy", made(0), made(1, better=0.1), confidence=0.99).interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
