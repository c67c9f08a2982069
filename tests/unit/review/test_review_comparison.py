"""Branch against base: differences, regressions, and what noise may not do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from assay.analysis.seeds import Seeds
from assay.pipeline.plan import Plan, Step
from assay.pipeline.reasons import Reason
from assay.review import differences
from assay.review.comment import Results
from assay.review.snapshot import Claim, Snapshot


def evaluation(arm: str = "line", data: str = "d", seeds=None, variant: str = "last", **metrics) -> tuple[str, Seeds]:
    """The results of a variant, with its name; a metric is a list, by seed, or one number for all."""
    seeds = list(range(max(len(one) for one in metrics.values() if isinstance(one, list)))) if seeds is None else seeds
    by_seed = {name: one if isinstance(one, list) else [one] * len(seeds) for name, one in metrics.items()}
    rows = {seed: {name: one[i] for name, one in by_seed.items()} for i, seed in enumerate(seeds)}
    return f"{arm}/{variant}", Seeds(data, rows)


def claim(verdict: str = "reproduced", name: str = "c", arm: str = "line/last", metric: str = "accuracy") -> Claim:
    return Claim(id=name, statement="It | helps.", metric=metric, arm=arm, against="baseline/last", verdict=verdict)


def side(*evaluations: tuple[str, Seeds], claims=(), params=None) -> Snapshot:
    return Snapshot(params or {}, {one.id: one for one in claims}, dict(evaluations))


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
        (evaluation(data="other", accuracy=[0.1] * 5), "other data"),
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


def test_a_verdict_that_falls_regresses_and_no_other_move_does():
    before, after = evaluation(accuracy=[0.5] * 3), evaluation(accuracy=[0.5, 0.5, 0.6])
    for old, new, fails in (
        ("reproduced", "refuted", True),
        ("undecided", "refuted", True),
        ("refuted", "refuted", False),
        ("reproduced", "undecided", False),
        ("refuted", "reproduced", False),
        ("reproduced", "negligible", True),
        ("negligible", "refuted", True),
        ("negligible", "undecided", False),
        ("undecided", "negligible", False),
        ("refuted", "negligible", False),
        ("by construction", "refuted", False),
        ("not tested here", "refuted", False),
    ):
        branch, base = side(after, claims=[claim(new)]), side(before, claims=[claim(old)])
        assert bool(differences.regressions(branch, base)) is fails, (old, new)
        assert len(differences.moved(branch, base)) == (old != new)


def test_a_verdict_that_only_the_rule_or_more_seeds_moved_fails_nothing_and_says_so():
    same = evaluation("swa", accuracy=[0.5, 0.6, 0.7])
    old, new = claim("undecided", arm="swa/last"), claim("refuted", arm="swa/last")
    rules = ({"rule": {"tests": 40}}, {"rule": {"tests": 50}})
    more = evaluation("swa", accuracy=[0.5, 0.6, 0.7, 0.8])
    seeds = [one.model_copy(update={"seeds": number}) for one, number in ((old, 3), (new, 4))]
    for branch, base, because in (
        (
            side(same, claims=[new], params=rules[1]),
            side(same, claims=[old], params=rules[0]),
            "`rule` of params.yaml changed",
        ),
        (side(same, claims=[new]), side(same, claims=[old]), "the code that decides it changed"),
        (side(more, claims=seeds[1:]), side(same, claims=seeds[:1]), "seeds: 3 → 4"),
    ):
        assert differences.regressions(branch, base) == []
        (found,) = differences.moved(branch, base)
        assert found.because == because
        expected = "No claim regressed; no verdict changed, 1 moved without a change of their arms"
        assert Results(branch, base).headline == expected


@pytest.mark.parametrize(
    "change",
    [{"accuracy": [0.5, 0.6, 0.8, 0.8]}, {"data": "other"}, {"seeds": [0, 1, 3, 4]}],
)
def test_seeds_beside_other_results_are_not_seeds_added(change):
    """The same number of seeds more, but those of the base gave something else, or are gone."""
    base = side(evaluation("swa", accuracy=[0.5, 0.6, 0.7]), claims=[claim("undecided", arm="swa/last")])
    branch = side(
        evaluation("swa", **{"accuracy": [0.5, 0.6, 0.7, 0.8]} | change), claims=[claim("refuted", arm="swa/last")]
    )
    assert [one.was for one in differences.regressions(branch, base)] == ["undecided"]


def _with(kind: Claim, **fields) -> Claim:
    return kind.model_copy(update=fields)


@pytest.mark.parametrize(
    ("arm", "change"),
    [
        ("line", {"members": 2}),
        ("line", {"record.saving": [1, 2, 4]}),
        ("line", {"record.saving": [1, 2, None]}),
        ("line", {"inference_flops": 20}),
        ("line", {"seeds": [0, 1, 3]}),
        ("line", {"data": "other"}),
        ("baseline", {"accuracy": [0.5, 0.5, 0.4]}),
        ("baseline", {"variant": "other"}),
    ],
)
def test_a_claim_is_touched_by_whatever_it_can_read_of_either_side(arm, change):
    same = {"accuracy": [0.5] * 3, "members": 1, "record.saving": [1, 2, 3], "inference_flops": 10}
    sides = {name: evaluation(name, **same) for name in ("line", "baseline")}
    base = side(*sides.values(), claims=[claim()])
    assert not differences.touched(side(*sides.values(), claims=[claim("refuted")]), base, claim("refuted"))
    branch = side(*{**sides, arm: evaluation(arm, **same | change)}.values(), claims=[claim("refuted")])
    assert [one.was for one in differences.regressions(branch, base)] == ["reproduced"]


def test_an_arm_that_one_side_lacks_is_a_change():
    one, claims = evaluation(accuracy=[0.5] * 3), ([claim("refuted")], [claim()])
    base = side(one, claims=claims[1])
    assert differences.regressions(side(one, evaluation("baseline", accuracy=[0.5] * 3), claims=claims[0]), base)


def test_a_key_that_newer_code_adds_is_no_change():
    """Neither to results nor to the definition of a claim."""
    old, new = evaluation(accuracy=[0.5] * 3), evaluation(accuracy=[0.5] * 3, macro_f1=[0.4] * 3)
    branch = side(new, claims=[_with(claim("refuted"), at_most=1.0)])
    base = side(old, claims=[claim()])
    assert differences.changed(branch, base) == []
    assert differences.regressions(branch, base) == []


@pytest.mark.parametrize(
    "change",
    [{"margin": 0.1}, {"at_most": 0.5}, {"asks": "ratio"}, {"metric": "nll"}, {"against": "line/last"}, {"arm": "a/b"}],
)
def test_another_definition_of_the_claim_may_fail_the_branch(change):
    one = evaluation(accuracy=[0.5] * 3)
    whole = {"margin": 0.0, "at_most": None, "asks": "better"}
    claims = [
        Claim(**{**claim(verdict).model_dump(exclude_unset=True), **whole, **more})
        for verdict, more in (("refuted", change), ("reproduced", {}))
    ]
    assert differences.regressions(side(one, claims=claims[:1]), side(one, claims=claims[1:]))
    reworded = [_with(claims[1], verdict="refuted", statement="Other words.")]
    assert not differences.regressions(side(one, claims=reworded), side(one, claims=claims[1:]))


def test_a_new_claim_cannot_regress_and_is_shown():
    branch, base = side(claims=[claim("refuted")]), side()
    assert differences.regressions(branch, base) == []
    (moved,) = differences.moved(branch, base)
    assert (moved.old, moved.new) == (None, "refuted")
    (gone,) = differences.moved(base, branch)
    assert gone.new is None
    assert not gone.because
    assert differences.regressions(base, branch) == []


def test_an_arm_that_is_significantly_worse_regresses_and_an_arm_that_is_better_does_not():
    worse, better = evaluation(accuracy=[0.80, 0.81, 0.79]), evaluation(accuracy=[0.90, 0.92, 0.91])
    claims = [claim("undecided")]
    (found,) = differences.regressions(side(worse, claims=claims), side(better, claims=claims))
    assert "accuracy of line/last is worse by −11.0 [" in str(found)
    assert differences.regressions(side(better, claims=claims), side(worse, claims=claims)) == []


def test_a_share_is_worse_by_per_cent_as_in_the_report():
    """Whatever metric the claim is about, not those of the comment's own table alone."""
    claims = [Claim(id="c", metric="disagreement", arm="line/last", verdict="undecided", more_is_better=True)]
    less, more = evaluation(disagreement=[0.1, 0.12, 0.11]), evaluation(disagreement=[0.5, 0.53, 0.5])
    (found,) = differences.regressions(side(less, claims=claims), side(more, claims=claims))
    assert "worse by −40.0 [" in str(found)


def test_the_claim_says_in_which_direction_its_metric_improves():
    fewer, more = evaluation(agreement=[0.1, 0.12, 0.11]), evaluation(agreement=[0.5, 0.53, 0.5])
    for rises in (True, False):
        claims = [Claim(id="c", metric="agreement", arm="line/last", verdict="undecided", more_is_better=rises)]
        found = differences.regressions(side(fewer, claims=claims), side(more, claims=claims))
        assert bool(found) is rises


def test_the_bound_of_a_ratio_says_in_which_direction_its_metric_improves():
    """A number of a method's record has none of its own, of which earlier versions wrote false in claims.json."""
    less, more = evaluation(**{"record.saving": [1.0, 1.2, 1.1]}), evaluation(**{"record.saving": [5.0, 5.3, 5.0]})
    about = {"id": "c", "metric": "record.saving", "arm": "line/last", "verdict": "undecided", "asks": "ratio"}
    for bound, worse, better in (("at_least", less, more), ("at_most", more, less)):
        claims = [Claim(**about, **{bound: 2.0}, more_is_better=False)]
        assert differences.regressions(side(worse, claims=claims), side(better, claims=claims))
        assert not differences.regressions(side(better, claims=claims), side(worse, claims=claims))


@pytest.mark.parametrize("archived", ["branch", "base", "both"])
def test_a_verdict_of_an_archived_run_cannot_regress(archived):
    """Its arm is that of another run, whatever an arm of this name does here; and it widens no other's interval."""
    good, bad = evaluation(accuracy=[0.90, 0.92, 0.91]), evaluation(accuracy=[0.80, 0.81, 0.79])
    kept = [
        [_with(claim(verdict), archived="results/old" if archived in (name, "both") else "")]
        for name, verdict in (("branch", "refuted"), ("base", "reproduced"))
    ]
    assert differences.regressions(side(bad, claims=kept[0]), side(good, claims=kept[1])) == []
    own = claim("undecided", "own")
    alone, beside = (
        differences.regressions(*(side(arm, claims=[own, *more]) for arm, more in ((bad, ours), (good, theirs))))
        for ours, theirs in (((), ()), kept)
    )
    assert alone == beside != []


def test_a_claim_that_is_not_tested_here_or_has_no_numbers_by_seed_fails_nothing():
    claims = [
        Claim(id="elsewhere", verdict="not tested here"),
        Claim(id="none", metric="best_step", arm="line/last", verdict="undecided"),
    ]
    one, other = evaluation(best_step=[None, 3, 4]), evaluation(best_step=[1, 2, 900])
    assert differences.regressions(side(one, claims=claims), side(other, claims=claims)) == []


def test_noise_fails_a_branch_with_many_claims_at_most_once_in_forty():
    """Twelve claims whose arms were all retrained and are as good as they were: 400 branches."""
    generator = np.random.default_rng(1)
    arms = [f"arm{number}" for number in range(12)]
    claims = [claim("undecided", arm, f"{arm}/last") for arm in arms]

    def drawn() -> Snapshot:
        found = [evaluation(arm, accuracy=generator.normal(0.9, 0.01, 5).tolist()) for arm in arms]
        return side(*found, claims=claims)

    failed = sum(bool(differences.regressions(drawn(), drawn())) for _ in range(400))
    assert failed <= 20  # 10 are expected; without the correction it would be about 100


def reason(what: str, kind: str = "file") -> Reason:
    return Reason(kind, what)


def planned(**stages) -> Plan:
    steps = (Step(name.replace("_at_", "@"), tuple(reasons), None, None) for name, reasons in stages.items())
    return Plan(tuple(steps), (), {}, (), True)


def test_an_arm_has_a_cause_of_its_own_where_few_share_it():
    """b by a parameter, c by its method's code, the rounds by theirs and by the round before."""
    engine, upstream, parameter = reason("training"), reason("prepare", "upstream"), reason("arms.b.x", "parameter")
    arms = ["baseline", "a", "b", "c", "round-1", "round-2"]
    stages = {
        "baseline": [upstream],
        "train_at_a": [upstream],
        "train_at_b": [parameter],
        "train_at_c": [reason("methods/c.py")],
        "prune_at_1": [reason("lottery.py")],
        "prune_at_2": [reason("prune@1", "upstream")],
    }
    stages |= {f"evaluate_at_{arm}": [reason(f"train@{arm}", "upstream")] for arm in "abc"}
    assert differences.with_own_cause(planned(**stages), arms) == {"b", "c", "round-1", "round-2"}
    engines = {stage: [engine, *why] for stage, why in stages.items()}
    assert differences.with_own_cause(planned(**engines), arms) == {"b"}
    renamed = {stage: [Reason("command", f"python -m {stage}"), *why] for stage, why in stages.items()}
    assert differences.with_own_cause(planned(**renamed), arms) == {"b"}
    starting = planned(baseline=[engine, parameter], prune_at_1=[engine, reason("baseline", "upstream")])
    assert differences.with_own_cause(starting, arms) == {"baseline", "round-1"}
    assert differences.with_own_cause(planned(train_at_a=[engine]), ["a"]) == set()
