"""Verdicts follow from the interval alone, in the direction of the metric, and claims name what exists."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.artifact import ModelRecord
from assay.config.claim import Claim
from assay.config.parsing import parse
from assay.evaluation.claims import judge, region, verdict
from assay.evaluation.curves import Curve
from assay.evaluation.scoring.predictions import Predictions
from assay.evaluation.scoring.record import Evaluation, Record, VariantRecord
from assay.foundation.errors import AssayError


def claim(**changes) -> Claim:
    content = {
        "id": "a", "paper": "p", "statement": "s", "arm": "line", "against": "baseline", "metric": "accuracy",
        "verdict": "better", "differs_from_paper": "d",
    } | changes  # fmt: skip
    return parse(Claim, {key: value for key, value in content.items() if value is not None}, "params.yaml", "claims.")


@pytest.mark.parametrize(
    ("asks", "margin", "interval", "expected"),
    [
        ("better", 0.0, (0.001, 0.002), "reproduced"),
        ("better", 0.0, (0.0, 0.002), "undecided"),
        ("better", 0.0, (-0.001, 0.002), "undecided"),
        ("better", 0.0, (-0.002, 0.0), "refuted"),
        ("better", 0.0, (-0.002, -0.001), "refuted"),
        ("better", 0.01, (0.005, 0.02), "undecided"),
        ("better", 0.01, (0.011, 0.02), "reproduced"),
        ("better", 0.01, (0.005, 0.01), "refuted"),
        ("not_worse", 0.0, (0.0, 0.0), "reproduced"),
        ("not_worse", 0.002, (-0.002, 0.001), "reproduced"),
        ("not_worse", 0.002, (-0.0021, 0.001), "undecided"),
        ("not_worse", 0.002, (-0.005, -0.002), "undecided"),
        ("not_worse", 0.002, (-0.005, -0.0021), "refuted"),
    ],
)
def test_verdicts_at_their_edges(asks, margin, interval, expected):
    assert verdict(region(claim(verdict=asks, margin=margin)), interval) == expected
    mirrored = (-interval[1], -interval[0])
    for metric in ("nll", "brier", "ece", "best_step"):
        assert verdict(region(claim(metric=metric, verdict=asks, margin=margin)), mirrored) == expected


@pytest.mark.parametrize(
    ("bound", "interval", "expected"),
    [
        ({"at_most": 0.1}, (0.05, 0.1), "reproduced"),
        ({"at_most": 0.1}, (0.05, 0.2), "undecided"),
        ({"at_most": 0.1}, (0.11, 0.2), "refuted"),
        ({"at_least": 10.0}, (10.0, 12.0), "reproduced"),
        ({"at_least": 10.0}, (9.0, 12.0), "undecided"),
        ({"at_least": 10.0}, (8.0, 9.0), "refuted"),
    ],
)
def test_a_ratio_lies_on_its_side_of_the_bound(bound, interval, expected):
    assert verdict(region(claim(verdict="ratio", **bound)), interval) == expected


def test_without_an_interval_nothing_is_decided():
    assert verdict(region(claim()), None) == "undecided"


ends = st.floats(-1, 1)


@given(ends, ends, ends, ends, st.sampled_from(["better", "not_worse"]), st.floats(0, 1))
def test_a_wider_interval_never_decides_more(a, b, c, d, asks, margin):
    inner, where = tuple(sorted((a, b))), region(claim(verdict=asks, margin=margin))
    outer = min(inner[0], c, d), max(inner[1], c, d)
    decided = verdict(where, outer)
    assert decided == "undecided" or decided == verdict(where, inner)


@given(ends, ends)
def test_better_and_not_worse_are_each_others_contrary(a, b):
    low, high = sorted((a, b))
    forth = verdict(region(claim(metric="nll")), (low, high))
    back = verdict(region(claim(metric="nll", verdict="not_worse")), (-high, -low))
    assert {forth, back} in ({"reproduced", "refuted"}, {"undecided"})


def evaluation(arm: str, share: float, seeds=(0, 1, 2), variants=("last",), samples=1000, **record) -> Evaluation:
    predictions = {}
    for i, variant in enumerate(variants):
        correct = np.zeros((len(seeds), 200), dtype=np.uint8)
        correct[:, : round(200 * share) + i] = 1
        ones = np.ones(correct.shape, dtype=np.float32)
        predictions[variant] = Predictions(correct, ones, ones - correct, 2 * (ones - correct))
    scores = VariantRecord(
        members=1, combine="mean_probability", density=1, accuracy=[share - s / 200 for s in seeds], nll=[],
        brier=[], ece=[], balanced_accuracy=[], macro_f1=[], train_samples=samples, forward_samples=500,
        optimizer_steps=1, best_step=[100 * (i + 3) for i in seeds],
    )  # fmt: skip
    made = Record(
        arm=arm, method="sgd", seeds=list(seeds), model=ModelRecord(name="linear"), parameters={}, data="digits",
        data_digest="0", test_examples=200, class_counts={"a": 200},
        variants=dict.fromkeys(variants, scores), record=record,
    )  # fmt: skip
    return Evaluation(made, predictions)


def curve(*accuracies: tuple[float, ...]) -> dict[str, Curve]:
    table = np.array(accuracies)
    return {"validation": Curve(tuple(range(len(table))), 100 * np.arange(1, 5), 1 - table, table)}


@pytest.fixture
def evaluations() -> dict[str, Evaluation]:
    return {
        "baseline": evaluation("baseline", 0.5),
        "line": evaluation("line", 0.9, variants=("midpoint", "ensemble"), samples=90, saving=[150, 160, 155.0]),
        "apart": evaluation("apart", 0.9, seeds=(2, 3, 4)),
    }


def one(evaluations, curves=None, **changes):
    return judge([claim(**changes)], evaluations, curves or {})[0]


def test_a_claim_becomes_the_designs_record(evaluations):
    found = one(evaluations).model_dump(mode="json")
    low, high = found["interval"]
    assert {key: found[key] for key in ("id", "paper", "statement", "metric", "differs_from_paper")} == {
        "id": "a", "paper": "p", "statement": "s", "metric": "accuracy", "differs_from_paper": "d",
    }  # fmt: skip
    assert (found["arm"], found["against"], found["verdict"]) == ("line/midpoint", "baseline/last", "reproduced")
    assert found["difference"] == pytest.approx(0.4)
    assert 0.3 < low < 0.4 < high < 0.5


def test_less_is_better_for_a_loss(evaluations):
    assert one(evaluations, metric="nll").verdict == "reproduced"
    assert one(evaluations, metric="nll", arm="baseline", against="line").verdict == "refuted"
    assert one(evaluations, metric="ece", verdict="not_worse").verdict == "reproduced"


def test_a_variant_is_chosen_by_name(evaluations):
    found = one(evaluations, arm="line/ensemble")
    assert (found.arm, found.difference) == ("line/ensemble", pytest.approx(0.405))


def test_costs_are_compared_as_ratios(evaluations):
    found = one(evaluations, metric="training_cost", verdict="ratio", at_most=0.25)
    assert found.difference == pytest.approx((3 * 90 + 500) / (3 * 1000 + 500))
    assert (found.verdict, found.p_value) == ("reproduced", 0.0)
    assert one(evaluations, metric="train_samples", verdict="ratio", at_most=0.08).verdict == "refuted"


def test_a_count_is_exact_and_decides_with_one_seed():
    samples = {"baseline": 9000, "line": 9}
    evaluations = {name: evaluation(name, 0.5, (0,), samples=count) for name, count in samples.items()}
    found = one(evaluations, metric="training_cost", verdict="ratio", at_most=0.25)
    assert (found.verdict, found.interval, found.reason) == ("reproduced", (found.difference,) * 2, "")


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"against": "line", "verdict": "not_worse"}, 0.0),
        ({"against": "line", "metric": "nll", "verdict": "not_worse"}, 0.0),
        ({"against": "line", "metric": "best_step", "verdict": "not_worse"}, 0.0),
        ({"against": "line", "metric": "best_step", "verdict": "ratio", "at_most": 2.0}, 1.0),
        ({"against": None, "metric": "record.equal", "verdict": "ratio", "at_least": 100.0}, 150.0),
        ({"against": "line", "metric": "record.equal", "verdict": "better", "more_is_better": True}, 0.0),
    ],
)
def test_what_is_measured_and_happens_not_to_vary_decides_nothing_and_is_no_test(evaluations, changes, value):
    evaluations["line"] = evaluation("line", 0.9, equal=[150.0, 150.0, 150])
    found, other = judge([claim(**changes), claim(id="b")], evaluations, {})
    assert (found.verdict, found.interval, found.p_value) == ("undecided", None, None)
    assert found.difference == pytest.approx(value)
    assert found.reason.startswith("no variance between 3 seeds")
    assert other.confidence == 0.95  # as if it were alone


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_seed_that_diverged_is_named(evaluations, bad):
    evaluations["line"] = evaluation("line", 0.9, saving=[150, bad, 155.0])
    for changes in ({"against": None, "verdict": "ratio", "at_least": 100.0}, {"more_is_better": True}):
        against = {"against": "line"} | changes
        found = one(evaluations, metric="record.saving", **against)
        assert (found.verdict, found.difference) == ("undecided", None)
        assert found.reason == "not a finite number (seed 1)"


def test_a_ratio_of_accuracies_on_one_test_example_decides_nothing(evaluations):
    ratio = {"verdict": "ratio", "at_least": 1.0}
    assert one(evaluations, **ratio).interval is not None
    tiny = evaluations["line"].record.model_copy(update={"test_examples": 1})
    found = one(evaluations | {"line": replace(evaluations["line"], record=tiny)}, **ratio)
    assert (found.verdict, found.interval) == ("undecided", None)
    assert "one test example" in found.reason


def test_what_a_method_recorded_can_be_claimed_without_a_rival(evaluations):
    found = one(evaluations, metric="record.saving", against=None, verdict="ratio", at_least=100.0)
    assert (found.against, found.difference, found.verdict) == ("", pytest.approx(155), "reproduced")
    with pytest.raises(AssayError, match=r"claims.a.arm: the record of line has no savng; did you mean saving\?"):
        one(evaluations, metric="record.savng", against=None, verdict="ratio", at_least=100.0)


def test_steps_to_match_are_those_to_the_rivals_best_of_the_same_seed(evaluations):
    rival = curve((0.1, 0.5, 0.6, 0.6), (0.1, 0.2, 0.3, 0.4), (0.5, 0.4, 0.3, 0.2))
    own = curve((0.6, 0.9, 0.9, 0.9), (0.3, 0.4, 0.9, 0.9), (0.5, 0.9, 0.9, 0.9))
    found = one(evaluations, {"baseline": rival, "line": own}, metric="steps_to_match", verdict="better")
    assert found.difference == pytest.approx(np.mean([100 - 300, 200 - 400, 100 - 100]))
    assert found.reason == ""


def test_seeds_that_never_get_there_reproduce_nothing(evaluations):
    rival = curve(*[(0.1, 0.2, 0.3, 0.9)] * 3)
    own = curve((0.9,) * 4, (0.9,) * 4, (0.8,) * 4)
    found = one(evaluations, {"baseline": rival, "line": own}, metric="steps_to_match", verdict="ratio", at_most=10.0)
    assert (found.verdict, found.reason[:33]) == ("undecided", "1 of 3 seeds never get there, and")


def test_claims_are_decided_together(evaluations):
    generous = [claim(id=f"c{i}", margin=0.38 + 0.001 * i) for i in range(8)]
    alone = [judge([each], evaluations, {})[0] for each in generous]
    together = judge(generous, evaluations, {})
    assert all(a.confidence == 0.95 for a in alone)
    assert together[0].confidence > 0.99
    for single, found in zip(alone, together, strict=True):
        assert found.interval[0] <= single.interval[0] < single.interval[1] <= found.interval[1]
        assert found.interval_alone == single.interval
        assert found.p_value >= single.p_value
        assert (found.verdict == "reproduced") == (found.p_value < 0.05)


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
        ({"metric": "record.loss"}, "claims.a.more_is_better: missing"),
        ({"preset": "conv-2"}, "claims.a.arm: a claim with a preset compares nothing here"),
        ({"verdict": "ratio", "at_most": 0.0}, "claims.at_most: got 0.0; it should"),
    ],
)
def test_a_claim_that_is_not_whole_is_one_line(changes, message):
    with pytest.raises(AssayError, match=message) as caught:
        claim(**changes)
    assert "\n" not in str(caught.value)


def test_too_few_common_seeds_are_undecided_with_the_reason(evaluations):
    found = one(evaluations, arm="apart")
    assert (found.verdict, found.interval, found.seeds) == ("undecided", None, 1)
    assert "one common seed" in found.reason


def test_a_variant_that_does_not_exist_is_one_line_that_lists_those_that_do(evaluations):
    with pytest.raises(AssayError) as caught:
        one(evaluations, arm="line/midpiont")
    line = (
        "params.yaml: claims.a.arm: line has no variant 'midpiont'; did you mean midpoint? allowed: midpoint, ensemble"
    )
    assert str(caught.value) == line


def test_an_arm_that_was_not_evaluated_is_named(evaluations):
    with pytest.raises(
        AssayError, match=r"^params.yaml: claims.a.against: 'swa' was not evaluated; allowed: baseline, "
    ):
        one(evaluations, against="swa/average")
