"""Branch against base: differences, regressions, and what noise may not do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.review import changes, differences, verdicts
from assay.review.side import Claim, Evaluation, Side


def evaluation(arm: str = "line", digest: str = "d", seeds=None, **metrics) -> Evaluation:
    values = next(iter(metrics.values()))
    seeds = list(range(len(values))) if seeds is None else seeds
    return Evaluation(arm=arm, seeds=seeds, data_digest=digest, variants={"last": {"members": 1, **metrics}})


def claim(verdict: str = "reproduced", name: str = "c", arm: str = "line/last", metric: str = "accuracy") -> Claim:
    return Claim(id=name, statement="It | helps.", metric=metric, arm=arm, against="baseline/last", verdict=verdict)


def side(*evaluations: Evaluation, claims=(), params=None) -> Side:
    return Side(params or {}, {one.id: one for one in claims}, {one.arm: one for one in evaluations})


def test_the_interval_is_that_of_the_paired_t_test():
    generator = np.random.default_rng(0)
    new, old = generator.normal(0.9, 0.01, 5), generator.normal(0.89, 0.01, 5)
    found = differences.between(
        side(evaluation(accuracy=new.tolist())), side(evaluation(accuracy=old.tolist())), "line/last", "accuracy"
    )
    expected = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert found.difference == pytest.approx((new - old).mean())


def test_seeds_are_paired_by_their_number_not_by_their_place():
    branch = side(evaluation(seeds=[2, 1, 0, 9], accuracy=[0.3, 0.2, 0.1, 1.0]))
    base = side(evaluation(seeds=[0, 1, 2, 5], accuracy=[0.0, 0.1, 0.21, 0.0]))
    found = differences.between(branch, base, "line/last", "accuracy")
    assert found.difference == pytest.approx(0.29 / 3)
    assert 0.08 < found.interval[0] < found.interval[1] < 0.12


def test_a_difference_that_is_the_same_for_all_seeds_is_not_significant():
    branch, base = side(evaluation(accuracy=[0.5, 0.5, 0.5])), side(evaluation(accuracy=[0.25, 0.25, 0.25]))
    found = differences.between(branch, base, "line/last", "accuracy")
    assert (found.difference, found.interval, found.direction) == (0.25, None, 0)
    assert "no variance between 3 seeds" in found.reason


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (evaluation(digest="other", accuracy=[0.1] * 5), "other data"),
        (evaluation(seeds=[7, 8, 9], accuracy=[0.1] * 3), "no common seed"),
        (evaluation(seeds=[0, 1], accuracy=[0.1] * 2), "fewer than 3 common seeds"),
        (evaluation(arm="another", accuracy=[0.1]), "new"),
    ],
)
def test_what_cannot_be_compared_says_why_and_is_not_significant(base, reason):
    found = differences.between(side(evaluation(accuracy=[0.9] * 5)), side(base), "line/last", "accuracy")
    assert (found.reason, found.interval, found.direction) == (reason, None, 0)


@pytest.mark.parametrize(("metric", "better"), [("accuracy", 1), ("nll", -1), ("brier", -1), ("ece", -1)])
def test_the_bad_side_depends_on_the_metric(metric, better):
    low, high = side(evaluation(**{metric: [0.1, 0.11, 0.12]})), side(evaluation(**{metric: [0.5, 0.51, 0.53]}))
    assert differences.between(high, low, "line/last", metric).direction == better
    assert differences.between(low, high, "line/last", metric).direction == -better


def test_only_what_changed_is_listed_and_the_baseline_first():
    same = evaluation(arm="same", accuracy=[0.5] * 3)
    branch = side(evaluation(accuracy=[0.1]), same, evaluation(arm="baseline", accuracy=[0.3]))
    base = side(evaluation(accuracy=[0.2]), same, evaluation(arm="baseline", accuracy=[0.2]))
    assert differences.changed(branch, base) == ["baseline/last", "line/last"]


def test_a_verdict_that_moves_to_refuted_regresses_and_no_other_move_does():
    same = evaluation(accuracy=[0.5] * 3)
    for old, new, fails in (
        ("reproduced", "refuted", True),
        ("undecided", "refuted", True),
        ("refuted", "refuted", False),
        ("reproduced", "undecided", False),
        ("refuted", "reproduced", False),
    ):
        branch, base = side(same, claims=[claim(new)]), side(same, claims=[claim(old)])
        assert bool(verdicts.regressions(branch, base)) is fails, (old, new)
        assert len(verdicts.moved(branch, base)) == (old != new)


def test_a_new_claim_cannot_regress_and_is_shown():
    branch, base = side(claims=[claim("refuted")]), side()
    assert verdicts.regressions(branch, base) == []
    (moved,) = verdicts.moved(branch, base)
    assert (moved.old, moved.new) == (None, "refuted")
    (gone,) = verdicts.moved(base, branch)
    assert gone.new is None


def test_an_arm_that_is_significantly_worse_regresses_and_an_arm_that_is_better_does_not():
    worse, better = evaluation(accuracy=[0.80, 0.81, 0.79]), evaluation(accuracy=[0.90, 0.92, 0.91])
    claims = [claim("undecided")]
    (found,) = verdicts.regressions(side(worse, claims=claims), side(better, claims=claims))
    assert "accuracy of line/last is worse by −11.0 [" in changes.describe(found)
    assert verdicts.regressions(side(better, claims=claims), side(worse, claims=claims)) == []


def test_a_share_is_worse_by_per_cent_as_in_the_report():
    """Whatever metric the claim is about, not those of the comment's own table alone."""
    claims = [Claim(id="c", metric="disagreement", arm="line/last", verdict="undecided", more_is_better=True)]
    less, more = evaluation(disagreement=[0.1, 0.12, 0.11]), evaluation(disagreement=[0.5, 0.53, 0.5])
    (found,) = verdicts.regressions(side(less, claims=claims), side(more, claims=claims))
    assert "worse by −40.0 [" in changes.describe(found)


def test_the_claim_says_in_which_direction_its_metric_improves():
    fewer, more = evaluation(agreement=[0.1, 0.12, 0.11]), evaluation(agreement=[0.5, 0.53, 0.5])
    for rises in (True, False):
        claims = [Claim(id="c", metric="agreement", arm="line/last", verdict="undecided", more_is_better=rises)]
        found = verdicts.regressions(side(fewer, claims=claims), side(more, claims=claims))
        assert bool(found) is rises


def test_a_claim_that_is_not_tested_here_or_has_no_numbers_by_seed_fails_nothing():
    claims = [
        Claim(id="elsewhere", verdict="not tested here"),
        Claim(id="none", metric="best_step", arm="line/last", verdict="undecided"),
    ]
    one, other = evaluation(best_step=[None, 3, 4]), evaluation(best_step=[1, 2, 900])
    assert verdicts.regressions(side(one, claims=claims), side(other, claims=claims)) == []


def test_noise_fails_a_branch_with_many_claims_at_most_once_in_forty():
    """Twelve claims whose arms were all retrained and are as good as they were: 400 branches."""
    generator = np.random.default_rng(1)
    arms = [f"arm{number}" for number in range(12)]
    claims = [claim("undecided", arm, f"{arm}/last") for arm in arms]

    def drawn() -> Side:
        found = [evaluation(arm, accuracy=generator.normal(0.9, 0.01, 5).tolist()) for arm in arms]
        return side(*found, claims=claims)

    failed = sum(bool(verdicts.regressions(drawn(), drawn())) for _ in range(400))
    assert failed <= 20  # 10 are expected; without the correction it would be about 100
