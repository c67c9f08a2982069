"""From claims and evaluations to records: directions, looks, what decides nothing, and what it would take."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from assay.analysis.looks import judge
from assay.core.config.claim import Claim, Rule
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.models.artifact import ModelRecord
from assay.scoring import metrics
from assay.scoring.predictions import Predictions
from assay.scoring.record import Evaluation, Record, VariantRecord


def claim(**changes) -> Claim:
    content = {
        "id": "a", "paper": "p", "statement": "s", "arm": "line", "against": "baseline", "metric": "accuracy",
        "verdict": "better", "differs_from_paper": "d",
    } | changes  # fmt: skip
    given = {key: value for key, value in content.items() if value is not None}
    made = parse(Claim, given, "params.yaml", "claims.")
    metrics.check([made], Rule())
    return made


SEEDS = tuple(range(100, 110))
RULE = Rule()


def evaluation(arm: str, share: float, seeds=SEEDS, variants=("last",), samples=1000, examples=500, **record):
    """So great a share of the answers right; each seed has one more or fewer, of its own."""
    predictions = {}
    for i, variant in enumerate(variants):
        correct = np.zeros((len(seeds), examples), dtype=np.uint8)
        for row, seed in enumerate(seeds):
            correct[row, : round(examples * share) + i + (7 * seed + len(arm)) % 5] = 1
        ones = np.ones(correct.shape, dtype=np.float32)
        predictions[variant] = Predictions(correct, ones, ones - correct, 2 * (ones - correct))
    first = predictions[variants[0]].correct
    scores = VariantRecord(
        members=1, combine="mean_probability", density=1, accuracy=first.mean(1).tolist(), nll=[],
        brier=[], ece=[], balanced_accuracy=[], macro_f1=[], train_samples=samples, forward_samples=500,
        optimizer_steps=1, best_step=[100 * (3 + seed % 3) for seed in seeds],
    )  # fmt: skip
    made = Record(
        arm=arm, method="sgd", seeds=list(seeds), model=ModelRecord(name="linear"), parameters={}, data="digits",
        data_digest="0", test_examples=examples, class_counts={"a": examples},
        variants=dict.fromkeys(variants, scores), record=record,
    )  # fmt: skip
    return Evaluation(made, predictions)


SAVING = [150 + (7 * seed) % 10 for seed in SEEDS]


@pytest.fixture
def evaluations() -> dict[str, Evaluation]:
    return {
        "baseline": evaluation("baseline", 0.5),
        "line": evaluation("line", 0.9, variants=("midpoint", "ensemble"), samples=90, saving=SAVING, loss=SAVING),
        "apart": evaluation("apart", 0.9, seeds=range(105, 115)),
    }


def one(evaluations, rule=RULE, seeds=SEEDS, **changes):
    return judge([claim(**changes)], evaluations, rule, seeds)[0]


def recorded(seeds=SEEDS, **numbers) -> dict[str, Evaluation]:
    """The arm `line` and the baseline, with these numbers of the arm, one for each seed; the rival has 1."""
    arm, base = evaluation("line", 0.5, seeds, **numbers), evaluation("baseline", 0.5, seeds)
    base.record.record.update({key: [1.0] * len(seeds) for key in numbers})
    return {"baseline": base, "line": arm}


def of_numbers(numbers, rule=RULE, **changes):
    """The claim that the arm's number is more than the rival's, which is 1, by δ = 1 or by nothing."""
    seeds = tuple(range(100, 100 + len(numbers)))
    asked = {"metric": "record.x", "more_is_better": True, "matters": 1.0} | changes
    return one(recorded(seeds, x=list(numbers)), rule, SEEDS, **asked)


def spread(middle, seeds=10, width=0.1):
    """Numbers with this mean over the first 10, 20 and 40."""
    return [middle + width * ((at % 10) - 4.5) for at in range(seeds)]


def test_a_claim_becomes_the_designs_record(evaluations):
    found = one(evaluations).model_dump(mode="json")
    low, high = found["interval"]
    assert {key: found[key] for key in ("id", "paper", "statement", "metric", "differs_from_paper")} == {
        "id": "a", "paper": "p", "statement": "s", "metric": "accuracy", "differs_from_paper": "d",
    }  # fmt: skip
    assert (found["arm"], found["against"], found["verdict"]) == ("line/midpoint", "baseline/last", "reproduced")
    assert (found["edge"], found["matters"], found["above"], found["below"]) == (0, 0.002, 10, None)
    assert (found["seeds"], found["all_seeds"], len(found["by_seed"])) == (10, 10, 10)
    assert found["confidence"] == pytest.approx(1 - 2 * 0.05 / 4 / 40)
    assert found["difference"] == pytest.approx(0.4, abs=0.01)
    assert found["difference"] == pytest.approx(np.mean(found["by_seed"]))
    assert 0.2 < low < found["interval_alone"][0] < 0.4 < found["interval_alone"][1] < high < 0.6
    assert 0 < found["seed_share"] < 1
    (look,) = found["looks"]
    assert (look["seeds"], look["level"]) == (10, pytest.approx(0.05 / 160))
    assert look["above"] < look["level"] < look["below"]
    assert look["error"] > 0 < look["degrees"]


@pytest.mark.parametrize("metric", ["accuracy", "nll", "brier"])
def test_arms_swapped_are_mirrored(evaluations, metric):
    asked = {"metric": metric, "verdict": "not_worse"}
    forth, back = one(evaluations, **asked), one(evaluations, arm="baseline", against="line", **asked)
    assert (forth.verdict, back.verdict) == ("reproduced", "refuted")
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.interval == pytest.approx(tuple(-end for end in reversed(back.interval)))
    assert forth.by_seed == pytest.approx([-x for x in back.by_seed])
    assert (forth.looks[0].above, forth.above) == pytest.approx((back.looks[0].below, back.below))


def test_harm_is_said_only_where_the_whole_interval_lies_below_none():
    assert [of_numbers(spread(x)).verdict for x in (0.2, 0.8, 1.2, 1.5, 3.0)] == [
        "refuted", "refuted", "refuted", "negligible", "reproduced",
    ]  # fmt: skip
    assert [of_numbers(spread(x)).harms for x in (0.2, 0.8, 1.2, 1.5, 3.0)] == [True, False, False, False, False]
    assert of_numbers(spread(1.8), more_is_better=False).harms
    falls = {"verdict": "ratio", "at_most": 0.5, "matters": None}
    assert [of_numbers(spread(x), **falls).harms for x in (2.0, 0.8)] == [True, False]


def test_less_is_better_for_a_loss(evaluations):
    assert one(evaluations, metric="nll", matters=0.01).verdict == "reproduced"
    assert one(evaluations, metric="nll", matters=0.01, arm="baseline", against="line").verdict == "refuted"


def test_the_smallest_difference_that_matters_is_the_claims_or_the_rules_or_the_margin(evaluations):
    own = {"matters": 0.6}
    assert [one(evaluations, **how).matters for how in ({}, own, {"margin": 0.1})] == [0.002, 0.6, 0.1]
    assert one(evaluations, Rule(matters=0.3)).matters == 0.3
    assert one(evaluations, **own).verdict == "negligible"
    not_worse = one(evaluations, verdict="not_worse", margin=0.1)
    assert (not_worse.edge, not_worse.matters) == (-0.1, -0.1)
    ratio = one(evaluations, verdict="ratio", at_least=1.2)
    assert (ratio.edge, ratio.matters) == (1.2, 1.2)


def test_a_variant_is_chosen_by_name(evaluations):
    found = one(evaluations, arm="line/ensemble")
    assert (found.arm, found.difference - one(evaluations).difference) == ("line/ensemble", pytest.approx(0.002))


def test_what_follows_from_the_parameters_is_told_and_has_no_verdict(evaluations):
    found = one(evaluations, metric="training_cost", verdict="ratio", at_most=0.25)
    assert found.difference == pytest.approx((3 * 90 + 500) / (3 * 1000 + 500))
    assert (found.verdict, found.interval, found.looks, found.reason) == ("by construction", None, [], "")
    assert one(evaluations, metric="train_samples", verdict="ratio", at_most=0.08).verdict == "by construction"
    assert one(evaluations, metric="train_samples", verdict="better").difference == -910
    evaluations["line"] = evaluation("line", 0.9, samples=0)
    unknown = one(evaluations, metric="train_samples", verdict="ratio", at_most=0.2)
    assert (unknown.verdict, unknown.difference) == ("by construction", None)
    assert unknown.reason == "a ratio needs numbers above 0 on both sides"
    alone = {name: evaluation(name, 0.5, (100,), samples=count) for name, count in {"baseline": 90, "line": 9}.items()}
    assert one(alone, metric="train_samples", verdict="ratio", at_most=0.2).difference == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"against": "line", "verdict": "not_worse"}, 0.0),
        ({"against": "line", "metric": "nll", "verdict": "not_worse"}, 0.0),
        ({"against": "line", "metric": "best_step", "verdict": "not_worse"}, 0.0),
        ({"against": "line", "metric": "best_step", "verdict": "ratio", "at_most": 2.0}, 1.0),
        ({"against": None, "metric": "record.equal", "verdict": "ratio", "at_least": 100.0}, 150.0),
        ({"against": "line", "metric": "record.equal", "more_is_better": True, "matters": 1.0}, 0.0),
    ],
)
def test_what_is_measured_and_happens_not_to_vary_decides_nothing(evaluations, changes, value):
    evaluations["line"] = evaluation("line", 0.9, equal=150.0)
    found = one(evaluations, **changes)
    assert (found.verdict, found.interval, found.forecast) == ("undecided", None, None)
    assert (found.looks[0].error, found.looks[0].above) == (None, None)
    assert found.difference == pytest.approx(value)
    assert found.reason.startswith("no variance between 10 seeds")


def test_examples_that_vary_where_seeds_do_not_decide_nothing(evaluations):
    """Two trainings that come out the same for every seed: nothing is known of other seeds."""
    for name, right in {"line": 400, "baseline": 100}.items():
        same = evaluations[name].predictions[next(iter(evaluations[name].predictions))].correct
        same[:] = np.arange(same.shape[1]) < right
    found = one(evaluations)
    assert (found.verdict, found.interval) == ("undecided", None)
    assert found.reason.startswith("no variance between 10 seeds and 500 test examples")


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_seed_that_diverged_is_named(evaluations, bad):
    evaluations["line"] = evaluation("line", 0.9, saving=[SAVING[0], bad, *SAVING[2:]])
    for changes in ({"against": None, "verdict": "ratio", "at_least": 100.0}, {"more_is_better": True, "matters": 1.0}):
        against = {"against": "line"} | changes
        found = one(evaluations, metric="record.saving", **against)
        assert (found.verdict, found.difference, found.by_seed) == ("undecided", None, [])
        assert found.reason == "not a finite number (seed 101)"


def test_a_ratio_needs_numbers_above_0():
    asked = {"verdict": "ratio", "at_least": 1.0, "matters": None}
    for numbers in (spread(0.4), [0.0] * 10):
        found = of_numbers(numbers, **asked)
        assert (found.verdict, found.difference) == ("undecided", None)
        assert found.reason == "a ratio needs numbers above 0 on both sides"
    alone = of_numbers(spread(0.4), **asked, against=None)
    assert alone.reason == "a ratio needs numbers above 0"


def test_a_ratio_is_the_geometric_mean():
    numbers = [1.0, 4.0] * 5
    found = of_numbers(numbers, verdict="ratio", at_least=1.0, matters=None)
    assert (found.difference, found.by_seed) == (pytest.approx(2.0), pytest.approx(numbers))
    low, high = found.interval
    assert low * high == pytest.approx(4.0)  # symmetric on logarithms
    (look,) = found.looks
    assert look.above == pytest.approx(ttest_1samp(np.log(numbers), 0, alternative="greater").pvalue)
    turned = of_numbers([1 / x for x in numbers], verdict="ratio", at_most=1.0, matters=None)
    assert (turned.looks[0].above, turned.interval[0]) == pytest.approx((look.above, 1 / high))


def test_a_ratio_of_accuracies_rests_on_the_test_examples_too(evaluations):
    found = one(evaluations, verdict="ratio", at_least=1.0)
    right = [
        evaluations[name].predictions[which].correct for name, which in (("line", "midpoint"), ("baseline", "last"))
    ]
    assert found.by_seed == pytest.approx(right[0].mean(1) / right[1].mean(1))
    assert 0 < found.seed_share < 0.5
    few = {name: evaluation(name, share, examples=20) for name, share in (("line", 0.5), ("baseline", 0.4))}
    assert one(few, verdict="ratio", at_least=1.0).verdict == "undecided"


def test_one_test_example_decides_nothing(evaluations):
    tiny = {name: evaluation(name, 0.5, examples=1) for name in ("line", "baseline")}
    tiny["line"].predictions["last"].correct[3] = 0
    for asked in ({}, {"verdict": "ratio", "at_least": 0.5}):
        for row in tiny.values():
            row.predictions["last"].correct[:3] = 1
        found = one(tiny, **asked)
        assert (found.verdict, found.looks) == ("undecided", [])


def test_four_answers_of_225_that_differ_decide_nothing():
    few = {name: evaluation(name, 0.9, examples=225) for name in ("line", "baseline")}
    for name, gained in (("line", 4), ("baseline", 0)):
        right = few[name].predictions["last"].correct
        right[:] = np.arange(225) < 200 + gained
        right[0, -1] = name == "line"  # so that seeds vary a little
        right[1, -2] = name == "baseline"
    for asked in ({}, {"verdict": "not_worse", "margin": 0.01}, {"verdict": "ratio", "at_least": 0.99}):
        found = one(few, **asked)
        assert found.verdict == "undecided"
        low, high = found.interval
        assert low < found.edge <= found.matters < high
    assert one(few, verdict="not_worse", margin=0.02).reason.startswith("6 of 225 test examples are answered different")
    assert one(few).forecast.test_examples > 225


def test_what_a_method_recorded_can_be_claimed_without_a_rival(evaluations):
    found = one(evaluations, metric="record.saving", against=None, verdict="ratio", at_least=100.0)
    assert (found.against, found.verdict) == ("", "reproduced")
    assert found.difference == pytest.approx(np.exp(np.mean(np.log(SAVING))))
    assert not found.harms
    with pytest.raises(AssayError, match=r"claims.a.arm: the record of line has no savng; did you mean saving\?"):
        one(evaluations, metric="record.savng", against=None, verdict="ratio", at_least=100.0)


def test_more_tests_in_the_file_decide_less(evaluations):
    few, many = (one(evaluations, Rule(tests=tests)) for tests in (1, 1000))
    assert many.interval[0] < few.interval[0] < few.interval[1] < many.interval[1]
    assert many.interval_alone == few.interval_alone
    assert many.confidence > few.confidence


def test_facts_are_kept_and_the_record_is_that_of_the_look_that_decides():
    numbers = [*spread(3.0), *spread(1.5), *spread(1.0), *spread(1.0)]
    first, both = of_numbers(numbers[:10]), of_numbers(numbers)
    assert (first.verdict, first.above, first.seeds) == ("reproduced", 10, 10)
    assert [look.seeds for look in both.looks] == [10, 20, 40]
    assert (both.verdict, both.above, both.below, both.seeds) == ("reproduced", 10, None, 10)
    assert (both.difference, both.interval) == (first.difference, first.interval)
    assert (both.all_seeds, both.difference_all_seeds) == (40, pytest.approx(np.mean(numbers) - 1))
    later = of_numbers([*spread(1.6), *spread(1.2), *spread(1.2), *spread(1.2)])
    assert (later.verdict, later.above, later.below, later.seeds) == ("negligible", 10, 20, 20)


def test_a_look_takes_the_first_seeds_of_the_sequence_and_needs_all_of_them():
    seeds = (*range(119, 109, -1), *SEEDS, 200)  # in another order, and one that is not of the sequence
    numbers = {seed: 3.0 + 0.01 * (seed % 7) for seed in seeds}
    found = one(
        recorded(seeds, x=[numbers[seed] for seed in seeds]), metric="record.x", more_is_better=True, matters=1.0
    )
    assert ([look.seeds for look in found.looks], found.all_seeds) == ([10, 20], 21)
    assert found.looks[0].difference == pytest.approx(np.mean([numbers[seed] for seed in SEEDS]) - 1)
    assert found.by_seed == pytest.approx([numbers[seed] - 1 for seed in (*sorted(seeds[:-1]), 200)])
    lacking = tuple(seed for seed in seeds if seed != 104)
    found = one(recorded(lacking, x=spread(3.0, 20)), metric="record.x", more_is_better=True, matters=1.0)
    assert (found.looks, found.reason) == ([], "needs 10 seeds of those from 100 to 109, has 9")


def test_fewer_seeds_than_the_first_look_decide_nothing_and_say_so():
    found = of_numbers(spread(3.0, 5))
    assert (found.verdict, found.interval, found.looks) == ("undecided", None, [])
    assert (found.reason, found.seeds, found.difference) == ("needs 10 seeds, has 5", 5, pytest.approx(1.75))
    assert (found.forecast.seeds, found.forecast.probability) == (10, pytest.approx(1.0, abs=0.1))
    assert of_numbers(spread(3.0, 1)).forecast is None


def test_the_forecast_names_the_first_look_that_probably_decides():
    noisy = of_numbers(spread(2.0, width=0.35))
    assert noisy.verdict == "undecided"
    forecast = noisy.forecast
    assert (forecast.seeds, forecast.test_examples) == (20, None)
    assert 0.5 <= forecast.probability <= 1
    hopeless = of_numbers(spread(1.5, width=5.0)).forecast
    assert hopeless.seeds is None
    assert 0 < hopeless.probability < 0.5
    assert of_numbers(spread(1.5, 40, width=5.0)).forecast.probability == 0  # no look is left
    assert of_numbers(spread(3.0)).forecast is None


def test_the_spread_of_an_arm_is_told_in_units_of_the_least_that_independent_networks_have(evaluations):
    found, own = one(evaluations), evaluations["line"].record.variants["midpoint"].accuracy
    floor = np.sqrt((1 - np.mean(own)) / (2 * 500))
    assert found.sd_over_floor == pytest.approx(np.std(own, ddof=1) / floor)
    assert one(evaluations, metric="nll", verdict="not_worse").sd_over_floor is None


def test_a_claim_with_a_preset_stands_untested(evaluations):
    given = {"arm": None, "against": None, "metric": None, "verdict": None}
    found = one(evaluations, preset="hard_cifar10", **given)
    assert (found.verdict, found.preset, found.interval) == ("not tested here", "hard_cifar10", None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "acuracy"}, "claims.a.metric: got 'acuracy'; did you mean accuracy"),
        ({"against": None}, "claims.a.against: missing; better needs a rival"),
        ({"verdict": None}, "claims.a.verdict: missing, and required .or name the `preset`"),
        ({"verdict": "ratio"}, "claims.a: a ratio needs one bound"),
        ({"verdict": "ratio", "at_most": 1.0, "at_least": 1.0}, "claims.a: a ratio needs one bound"),
        ({"verdict": "ratio", "at_most": 1.0, "margin": 0.1}, "claims.a.margin: a ratio has a bound"),
        ({"at_most": 1.0}, "claims.a.at_most: only `verdict: ratio` takes it"),
        ({"metric": "record.loss", "matters": 1.0}, "claims.a.more_is_better: missing"),
        ({"metric": "nll"}, "claims.a.matters: missing; give the smallest difference in nll that matters"),
        ({"matters": 0.1, "margin": 0.2}, "claims.a.matters: must be no less than the margin"),
        ({"matters": 0.1, "verdict": "not_worse"}, "claims.a.matters: only `verdict: better` takes it"),
        ({"metric": "steps_to_match", "matters": 1.0}, "claims.a.metric: got 'steps_to_match'; allowed: accuracy, "),
        ({"preset": "conv-2"}, "claims.a.arm: a claim with a preset compares nothing here"),
        ({"verdict": "ratio", "at_most": 0.0}, "claims.at_most: got 0.0; it should"),
    ],
)
def test_a_claim_that_is_not_whole_is_one_line(changes, message):
    with pytest.raises(AssayError, match=message) as caught:
        claim(**changes)
    assert "\n" not in str(caught.value)


def test_arms_of_other_seeds_have_no_look(evaluations):
    found = one(evaluations, arm="apart")
    assert (found.verdict, found.interval, found.seeds) == ("undecided", None, 5)
    assert found.reason == "needs 10 seeds, has 5"
    evaluations["apart"] = evaluation("apart", 0.9, seeds=range(7))
    found = one(evaluations, arm="apart")
    assert (found.verdict, found.difference, found.reason) == ("undecided", None, "no seed is common to both")


def test_a_variant_that_does_not_exist_is_one_line_that_lists_those_that_do(evaluations):
    with pytest.raises(AssayError) as caught:
        one(evaluations, arm="line/midpiont")
    line = (
        "params.yaml: claims.a.arm: line has no variant 'midpiont'; did you mean midpoint? allowed: midpoint, ensemble"
    )
    assert str(caught.value) == line
