"""Paired differences and ratios: mirrored, equal to the textbook where there is one, unpaired where they must be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.analysis import statistics
from assay.scoring import metrics
from assay.scoring.predictions import Predictions


def made(seed: int, seeds: int = 3, examples: int = 60, better: float = 0.0) -> Predictions:
    rng = np.random.default_rng(seed)
    correct = (rng.random((seeds, examples)) < 0.8 + better).astype(np.uint8)
    confidence = rng.uniform(0.3, 1.0, (seeds, examples)).astype(np.float32)
    loss = rng.exponential(0.3, (seeds, examples)).astype(np.float32)
    return Predictions(correct, confidence, loss, np.minimum(loss, 2))


def compare(metric, arm, against, arm_seeds=(0, 1, 2), against_seeds=(0, 1, 2)):
    return statistics.paired_difference(metric, arm, against, arm_seeds, against_seeds)


def ratio(arm, against):
    return statistics.ratio_of(np.log(arm / against)[:, None], tuple(range(len(arm))))


@pytest.mark.parametrize("metric", metrics.measured())
def test_the_estimate_is_the_difference_of_the_means(metric):
    arm, against = made(0), made(1)
    expected = metrics.per_seed(metric, arm).mean() - metrics.per_seed(metric, against).mean()
    assert compare(metric, arm, against).value == pytest.approx(expected)


@pytest.mark.parametrize("metric", metrics.measured())
def test_swapping_the_sides_mirrors_the_interval(metric):
    forth, back = compare(metric, made(0), made(1)), compare(metric, made(1), made(0))
    assert forth.value == pytest.approx(-back.value)
    assert forth.interval() == pytest.approx(tuple(-end for end in reversed(back.interval())))


def test_a_number_a_seed_has_the_textbooks_t_interval():
    values = np.array([1.0, 2.5, 2.0, 4.0])
    found = statistics.mean_of(values[:, None], (0, 1, 2, 3))
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert found.interval() == pytest.approx(expected)


def test_seeds_that_are_all_that_varies_have_one_degree_less_than_seeds():
    rng = np.random.default_rng(3)
    of_seeds = rng.normal(size=(5, 1))
    found = statistics.mean_of(of_seeds + np.zeros((5, 400)), tuple(range(5)))
    assert found.degrees == pytest.approx(4)
    assert found.error == pytest.approx(stats.sem(of_seeds[:, 0]))


def test_examples_that_are_all_that_varies_have_nearly_a_normal_interval():
    of_examples = np.random.default_rng(4).normal(size=(1, 400))
    found = statistics.mean_of(of_examples + np.zeros((5, 1)), tuple(range(5)))
    assert found.degrees == pytest.approx(399)
    assert found.error == pytest.approx(stats.sem(of_examples[0]))


@given(st.integers(0, 50))
def test_the_mean_squares_are_those_of_the_two_way_analysis_of_variance(seed):
    table = np.random.default_rng(seed).normal(size=(4, 7)) + np.arange(4)[:, None] + np.arange(7)
    rows, columns, grand = table.mean(1), table.mean(0), table.mean()
    of_seeds = 7 * ((rows - grand) ** 2).sum() / 3
    of_examples = 4 * ((columns - grand) ** 2).sum() / 6
    rest = ((table - rows[:, None] - columns + grand) ** 2).sum() / 18
    found = statistics.moments(table)
    assert found.of_seeds == pytest.approx(of_seeds / 28)
    assert found.of_examples == pytest.approx(max(0, of_examples - rest) / 28)


def test_many_tables_have_the_moments_of_each():
    tables = np.random.default_rng(5).normal(size=(3, 2, 4, 6))
    together = statistics.moments(tables)
    for at in np.ndindex(3, 2):
        assert [part[at] for part in together] == pytest.approx(
            [float(part) for part in statistics.moments(tables[at])]
        )


def test_a_ratio_is_that_of_geometric_means_and_turns_round_with_its_sides():
    arm, against = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 2.0])
    forth, back = (ratio(a, b) for a, b in ((arm, against), (against, arm)))
    assert forth.value == pytest.approx(1.0)
    assert forth.interval() == pytest.approx(tuple(1 / end for end in reversed(back.interval())))
    expected = stats.t.interval(0.95, 2, np.log(arm / against).mean(), stats.sem(np.log(arm / against)))
    assert forth.interval() == pytest.approx(tuple(np.exp(expected)))


def same(seeds: int, examples: int, right: int) -> Predictions:
    """Every network answers every example alike."""
    table = np.full((seeds, examples), right, dtype=np.uint8)
    return Predictions(table, *(table.astype(np.float32) for _ in range(3)))


# each table varies too little for its error to be estimated: nothing, or only in parts that cancel
WITHOUT_SPREAD = {
    "all right": np.ones((2, 4)),
    "no difference": np.zeros((3, 5)),
    "rounding alone": np.full((3, 5), 0.1) + np.array([[0, 1, 0, 1, 0]]) * 1e-17,
    "each seed has another example": np.array([[1, 0, 0, 0], [0, 1, 0, 0]]),
    "a number a seed": np.full((3, 1), 0.7),
}


@pytest.mark.parametrize("table", WITHOUT_SPREAD.values(), ids=WITHOUT_SPREAD)
def test_numbers_that_happen_not_to_vary_have_no_interval(table):
    found = statistics.mean_of(table.astype(float), tuple(range(len(table))))
    assert found.value == pytest.approx(table.mean())
    assert found.interval() is None
    assert found.reason.startswith(f"no variance between {len(table)} seeds")
    assert ("test examples" in found.reason) == (table.shape[1] > 1)


def test_spread_in_seeds_alone_or_in_examples_alone_is_enough():
    ramp = np.arange(4.0)
    for table in (ramp[:, None] + np.zeros((4, 3)), ramp[None] + np.zeros((3, 4))):
        low, high = statistics.mean_of(table, tuple(range(len(table)))).interval()
        assert low < 1.5 < high


def test_a_ratio_of_equal_numbers_decides_nothing():
    found = ratio(np.full(3, 18.0), np.full(3, 180.0))
    assert (found.value, found.interval()) == (pytest.approx(0.1), None)


def test_four_examples_that_all_answer_right_decide_nothing():
    found = compare("accuracy", same(2, 4, 1), same(2, 4, 1), (0, 1), (0, 1))
    reason = "no variance between 2 seeds and 4 test examples: nothing to estimate an error from"
    assert (found.value, found.interval(), found.reason) == (0.0, None, reason)


def test_one_example_has_no_interval_however_many_seeds():
    arm = Predictions(*(np.array([[1], [0], [1]]).astype(kind) for kind in (np.uint8, *[np.float32] * 3)))
    found = compare("accuracy", arm, same(3, 1, 0))
    assert (found.value, found.interval()) == (pytest.approx(2 / 3), None)
    assert "one test example" in found.reason


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_what_is_not_finite_is_named_by_its_seed(bad):
    numbers = np.array([1.0, bad, 2.0])
    of_arm = Predictions(*(np.full((3, 4), 1).astype(kind) for kind in (np.uint8, *[np.float32] * 3)))
    of_arm.nll[1, 2] = math.inf if bad == 1e200 else bad  # float32 has no 1e200
    for found in (
        statistics.mean_of(numbers[:, None], (4, 5, 6)),
        compare("nll", of_arm, of_arm, (4, 5, 6), (4, 5, 6)),
    ):
        assert (found.value, found.interval()) == (None, None)
        assert found.reason == "not a finite number (seed 5)"


def test_the_interval_of_a_ratio_is_finite_however_wide_it_is():
    found = ratio(np.array([1.0, 1e6]), np.array([1.0, 1.0]))
    low, high = found.interval(0.9999)
    assert 0 < low < 1e-100 < 1e100 < high < math.inf


def test_seeds_are_paired_whatever_their_order():
    arm, against = made(0), made(1)
    turned = compare("accuracy", arm.of_seeds([2, 0, 1]), against, arm_seeds=(2, 0, 1))
    assert turned.interval() == pytest.approx(compare("accuracy", arm, against).interval())


def test_only_common_seeds_count():
    arm, against = made(0), made(1)
    found = compare("nll", arm, against, arm_seeds=(4, 1, 2), against_seeds=(1, 2, 9))
    expected = metrics.per_seed("nll", arm)[[1, 2]].mean() - metrics.per_seed("nll", against)[[0, 1]].mean()
    assert found.value == pytest.approx(expected)
    assert found.interval() is not None


def test_one_common_seed_gives_a_difference_and_no_interval():
    found = compare("accuracy", made(0), made(1), against_seeds=(2, 3, 4))
    assert found.value is not None
    assert found.interval() is None
    assert "two or more" in found.reason


def test_no_common_seed_gives_nothing():
    found = compare("accuracy", made(0), made(1), against_seeds=(7, 8, 9))
    assert (found.value, found.interval(), found.reason) == (None, None, "no seed is common to both")


def test_another_test_set_is_a_mistake():
    with pytest.raises(ValueError, match="60"):
        compare("accuracy", made(0), made(1, examples=50))


def test_a_wider_confidence_is_a_wider_interval():
    found = compare("accuracy", made(0), made(1, better=0.1))
    narrow, wide = found.interval(0.5), found.interval(0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
