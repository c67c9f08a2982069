"""The rule by hand: two facts, kept from the look that first shows them, and the exact bound on answers."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.analysis import rule
from assay.analysis.rule import OUTCOMES, Evidence
from assay.analysis.statistics import Moments, answers, example_reach, moments

LOOKS = np.array([10, 20, 40])
LEVELS = np.array([0.25, 0.25, 0.5]) * 0.05 / 40


@dataclass
class Found:
    verdict: str
    above: int | None
    below: int | None
    seeds: int


def evidence(means, error=0.1, of_examples=0.0) -> Evidence:
    means = np.array(means, dtype=float)
    looks = LOOKS[: len(means)]
    of_seeds = np.broadcast_to(np.square(error), means.shape)
    return Evidence(looks, Moments(means, of_seeds, np.full(means.shape, of_examples)))


def decide(seen: Evidence, edge=0.0, matters=1.0, levels=LEVELS) -> Found:
    looks = [*seen.seeds.tolist(), None]
    found = rule.decide(seen, edge, matters, levels[: len(seen.seeds)])
    return Found(OUTCOMES[found.outcome], looks[found.above], looks[found.below], looks[found.look])


def of_numbers(numbers) -> Evidence:
    """Of one number a seed, at the first look."""
    found = moments(np.asarray(numbers, dtype=float)[:, None])
    return Evidence(np.array([len(numbers)]), Moments(*(part[None] for part in found)))


def of_table(table) -> Evidence:
    """Of right and wrong answers, at the first look."""
    found, few = moments(table), answers(table)
    few = few._replace(sums=few.sums[:, None], squares=few.squares[:, None])
    return Evidence(np.array([len(table)]), Moments(*(part[None] for part in found)), few)


def test_the_p_values_of_a_number_a_seed_are_those_of_the_t_test():
    numbers = np.random.default_rng(0).normal(0.3, 1, 10)
    found = rule.decide(of_numbers(numbers), 0.1, 0.7, LEVELS[:1])
    assert found.p_above == pytest.approx(stats.ttest_1samp(numbers, 0.1, alternative="greater").pvalue)
    assert found.p_below == pytest.approx(stats.ttest_1samp(numbers, 0.7, alternative="less").pvalue)


def test_examples_add_to_the_variance_and_to_the_degrees_of_freedom():
    seen = evidence([0.5], error=0.1, of_examples=0.03)  # V = 0.04, of which seeds are a quarter
    assert rule.degrees(seen.seeds, seen.found) == pytest.approx(9 * 4)
    assert rule.decide(seen, 0.0, 1.0, LEVELS[:1]).p_above == pytest.approx(stats.t.sf(0.5 / 0.2, 36))


@pytest.mark.parametrize(
    ("means", "edge", "matters", "expected"),
    [
        ([2.0], 0.0, 1.0, Found("reproduced", 10, None, 10)),
        ([-2.0], 0.0, 1.0, Found("refuted", None, 10, 10)),
        ([0.0], 0.0, 1.0, Found("refuted", None, 10, 10)),  # what is true at 0 is decided
        ([0.55], 0.0, 1.1, Found("negligible", 10, 10, 10)),
        ([0.1], 0.0, 0.2, Found("undecided", None, None, 10)),
        ([0.1, 0.1, 0.1], 0.0, 0.2, Found("undecided", None, None, 40)),
        ([0.1, 2.0, 0.1], 0.0, 0.2, Found("reproduced", 20, None, 20)),  # kept, whatever comes later
        ([0.6, 0.1, 0.3], 0.0, 0.8, Found("negligible", 10, 20, 20)),
        ([0.6, -0.6, -0.6], 0.0, 0.0, Found("reproduced", 10, 20, 10)),  # where a is δ the first fact ends it
        ([-0.1, -0.6, 0.6], 0.0, 0.0, Found("refuted", 40, 20, 20)),
        ([0.0, 0.0], -0.6, -0.6, Found("reproduced", 10, None, 10)),
    ],
)  # fmt: skip
def test_the_table_of_verdicts(means, edge, matters, expected):
    assert decide(evidence(means), edge, matters) == expected


def test_a_fact_is_shown_at_the_level_of_its_look_and_not_before():
    for look, level in enumerate(LEVELS):
        free = LOOKS[look] - 1
        for factor, shown in ((0.999, False), (1.001, True)):
            means = np.full(look + 1, -5.0)
            means[look] = 0.1 * stats.t.isf(level, free) * factor
            assert (decide(evidence(means), 0.0, -9.0).above is not None) == shown


def test_without_variance_between_seeds_nothing_is_shown():
    assert decide(evidence([5.0, 5.0], error=0.0, of_examples=0.01)).verdict == "undecided"
    found = rule.decide(evidence([5.0], error=0.0), 0.0, 1.0, LEVELS[:1])
    assert np.isnan(found.p_above).all()


numbers = st.lists(st.floats(-1, 1), min_size=3, max_size=3)


@given(numbers, st.floats(-0.5, 0.5), st.floats(0, 0.5))
def test_swapping_the_sides_swaps_the_facts(means, edge, wide):
    forth = rule.decide(evidence(means), edge, edge + wide, LEVELS)
    back = rule.decide(evidence([-mean for mean in means]), -edge - wide, -edge, LEVELS)
    assert forth.p_above == pytest.approx(back.p_below)
    assert (forth.above, forth.below, forth.look) == (back.below, back.above, back.look)
    turned = {"reproduced": "refuted", "refuted": "reproduced"}
    assert OUTCOMES[back.outcome] == turned.get(OUTCOMES[forth.outcome], OUTCOMES[forth.outcome])


@given(numbers, st.floats(1, 50))
def test_more_tests_never_show_more_and_reach_further(means, times):
    few, many = (rule.decide(evidence(means), 0.0, 0.3, level) for level in (LEVELS, LEVELS / times))
    assert many.above >= few.above
    assert many.below >= few.below
    narrow, wide = (rule.reach(evidence(means), level)[0] for level in (LEVELS, LEVELS / times))
    assert (wide >= narrow).all()


@given(numbers)
def test_facts_stay_when_looks_are_added(means):
    found = [decide(evidence(means[:count]), 0.0, 0.3) for count in (1, 2, 3)]
    for earlier, later in pairwise(found):
        assert earlier.above in (None, later.above)
        assert earlier.below in (None, later.below)


@given(numbers, st.floats(0, 0.4))
def test_a_fact_is_shown_where_the_interval_leaves_its_edge_out(means, of_examples):
    means = np.array(means)
    seen = evidence(means, of_examples=of_examples**2)
    found, (below, above) = rule.decide(seen, 0.0, 0.3, LEVELS), rule.reach(seen, LEVELS)
    for shown, gap in ((found.p_above <= LEVELS, means - below), (found.p_below <= LEVELS, 0.3 - means - above)):
        clear = np.abs(gap) > 1e-9
        assert (shown == (gap > 0))[clear].all()


def test_many_claims_are_decided_as_one_by_one():
    means = np.random.default_rng(1).normal(0.2, 0.4, (5, 3))
    edges, matters = np.linspace(-0.2, 0.2, 5), np.linspace(0.2, 0.4, 5)
    together = rule.decide(evidence(means), edges, matters, LEVELS)
    for at in range(5):
        alone = rule.decide(evidence(means[at]), edges[at], matters[at], LEVELS)
        assert (together.outcome[at], together.above[at], together.look[at]) == (
            alone.outcome, alone.above, alone.look,
        )  # fmt: skip


def answered(gains: int, losses: int, examples: int, seeds: int = 10) -> np.ndarray:
    """All seeds gain and lose the same examples, and two seeds another one each, so that seeds vary a little."""
    table = np.zeros((seeds, examples))
    table[:, :gains], table[:, gains : gains + losses] = 1, -1
    table[0, -1], table[1, -2] = 1, -1
    return table


def limits(table, level=LEVELS[0]):
    below, above = example_reach(answers(table), level)
    return table.mean() - below, table.mean() + above


def test_four_of_225_answers_that_differ_reproduce_nothing():
    seen = of_table(answered(4, 0, 225))
    assert decide(seen, 0.0, 0.002).verdict == "undecided"
    assert limits(answered(4, 0, 225))[0] < 0
    assert rule.decide(seen, 0.0, 0.002, np.array([0.05])).p_above > 0.03  # nor at 5 %, as they did
    assert decide(of_table(answered(16, 0, 225)), 0.0, 0.002).verdict == "reproduced"


def test_answers_that_hardly_differ_do_not_show_that_a_small_test_set_is_enough():
    """Without the bound the seeds would show it: their variance is next to nothing."""
    for examples, margin in ((50, 0.05), (225, 0.02)):
        seen = of_table(answered(0, 0, examples, seeds=10))
        assert decide(seen._replace(answers=None), -margin, -margin).verdict == "reproduced"
        assert decide(seen, -margin, -margin).verdict == "undecided"
        assert decide(seen, 0.0, margin).verdict == "undecided"  # nor is it refuted


def test_no_answer_of_50_that_differs_leaves_the_share_that_binomial_and_poisson_leave():
    low, high = limits(np.zeros((10, 50)))
    exact = 1 - LEVELS[0] ** (1 / 50)  # Clopper and Pearson
    assert -low == high == pytest.approx(-np.log(LEVELS[0]) / 50)
    assert exact < high < 1.2 * exact


@pytest.mark.parametrize("count", [1, 4, 12, 60])
def test_gains_alone_have_the_exact_limit_of_a_poisson_count(count):
    table = np.zeros((10, 1000))
    table[:, :count] = 1
    assert limits(table)[1] == pytest.approx(stats.chi2.isf(LEVELS[0], 2 * (count + 1)) / 2 / 1000)


def test_on_ten_thousand_examples_the_bound_changes_no_ordinary_verdict():
    rng = np.random.default_rng(2)
    for truth, expected in ((0.0, "refuted"), (0.003, "reproduced")):
        chance = rng.beta(0.05, 4.95, 10_000)  # of an example: that a network errs, 1 % in all
        table = (rng.random((40, 10_000)) < chance).astype(float) - (rng.random((40, 10_000)) < chance)
        table[:, rng.random(10_000) < truth] = 1
        bound = of_table(table)
        alone = bound._replace(answers=None)
        assert decide(bound, 0.0, 0.002, LEVELS[2:]) == decide(alone, 0.0, 0.002, LEVELS[2:])
        assert decide(bound, 0.0, 0.002, LEVELS[2:]).verdict == expected
        assert rule.reach(bound, LEVELS[2:])[0] == rule.reach(alone, LEVELS[2:])[0]


@pytest.mark.parametrize(("gains", "losses"), [(20, 0), (30, 3), (5, 40)])
def test_the_p_value_of_the_answers_is_the_level_at_which_their_limit_is_the_edge(gains, losses):
    seen = of_table(answered(gains, losses, 400))
    found = rule.decide(seen, -0.02, 0.02, np.array([0.5]))  # at such a level all p values are looked at
    for p, side, gap in ((found.p_above, 0, seen.found.mean + 0.02), (found.p_below, 1, 0.02 - seen.found.mean)):
        of_seeds = rule.decide(seen._replace(answers=None), -0.02, 0.02, np.array([0.5]))[side]
        if of_seeds < p < 0.49:
            assert example_reach(answers(answered(gains, losses, 400)), p[0])[side] == pytest.approx(gap[0])
        assert p >= of_seeds


def test_the_bound_mirrors():
    table = answered(7, 2, 100)
    low, high = limits(table)
    assert limits(-table) == pytest.approx((-high, -low))


def chance(spread, truth, of_examples=0.0, edge=0.0, matters=1.0):
    of_seeds = np.array([spread**2 / 10])
    now = Evidence(LOOKS[:1], Moments(np.array([truth]), of_seeds, np.array([of_examples])))
    return rule.chance(now, LOOKS[1:], LEVELS[1:], np.array([edge]), np.array([matters]))


def test_a_forecast_by_hand():
    spread, truth = 1.0, 0.7
    for at, size in enumerate((20, 40)):
        reach = stats.t.isf(LEVELS[at + 1], size - 1) * spread / np.sqrt(size)
        step = spread * np.sqrt(1 / 10 - 1 / size)
        expected = stats.t.sf((reach - truth) / step, 9) + stats.t.cdf((1 - reach - truth) / step, 9)
        assert chance(spread, truth)[at] == pytest.approx(expected)


def test_a_forecast_rises_with_seeds_and_falls_with_what_the_test_set_leaves():
    assert (np.diff(chance(1.0, 0.6)) > 0).all()
    assert (chance(1.0, 0.6, of_examples=0.05) < chance(1.0, 0.6)).all()
    assert chance(0.01, 0.5) == pytest.approx(1.0)


def test_what_the_test_set_limits_needs_more_examples():
    now = Evidence(LOOKS[2:], Moments(np.array([0.0005]), np.array([1e-10]), np.array([1e-6])))
    gap = 0.0015
    expected = 10_000 * 1e-6 * (stats.norm.isf(LEVELS[2]) / gap) ** 2
    assert rule.examples_needed(now, 10_000, LEVELS[2], 0.0, 0.002) == pytest.approx(expected, abs=1)
    assert rule.examples_needed(now, 100_000, LEVELS[2], 0.0, 0.004) is None
    none = of_table(answered(0, 0, 225))  # none differs: as many as would show it
    assert rule.examples_needed(none, 225, LEVELS[2], 0.0, 0.002) == pytest.approx(-np.log(LEVELS[2]) / 0.002, abs=1)
