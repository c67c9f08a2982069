"""Verdicts follow from the interval alone, in the direction of the metric, and claims name what exists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.artifact import ModelRecord
from assay.config import Claim
from assay.errors import AssayError
from assay.evaluation.claims import judge, verdict
from assay.evaluation.predictions import Predictions
from assay.evaluation.record import Evaluation, Record, VariantRecord


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
    assert verdict("accuracy", asks, margin, interval) == expected
    mirrored = (-interval[1], -interval[0])
    for metric in ("nll", "brier", "ece"):
        assert verdict(metric, asks, margin, mirrored) == expected


def test_without_an_interval_nothing_is_decided():
    assert verdict("accuracy", "better", 0.0, None) == "undecided"


ends = st.floats(-1, 1)


@given(ends, ends, ends, ends, st.sampled_from(["better", "not_worse"]), st.floats(0, 1))
def test_a_wider_interval_never_decides_more(a, b, c, d, asks, margin):
    inner = tuple(sorted((a, b)))
    outer = min(inner[0], c, d), max(inner[1], c, d)
    decided = verdict("accuracy", asks, margin, outer)
    assert decided == "undecided" or decided == verdict("accuracy", asks, margin, inner)


@given(ends, ends)
def test_better_and_not_worse_are_each_others_contrary(a, b):
    low, high = sorted((a, b))
    forth, back = verdict("nll", "better", 0.0, (low, high)), verdict("nll", "not_worse", 0.0, (-high, -low))
    assert {forth, back} in ({"reproduced", "refuted"}, {"undecided"})


def evaluation(arm: str, share: float, seeds=(0, 1, 2), variants=("last",)) -> Evaluation:
    predictions = {}
    for i, variant in enumerate(variants):
        correct = np.zeros((len(seeds), 200), dtype=np.uint8)
        correct[:, : round(200 * share) + i] = 1
        ones = np.ones(correct.shape, dtype=np.float32)
        predictions[variant] = Predictions(correct, ones, ones - correct, 2 * (ones - correct))
    scores = VariantRecord(
        members=1, combine="mean_probability", density=1, accuracy=[], nll=[], brier=[], ece=[],
        train_samples=1, forward_samples=0, optimizer_steps=1,
    )  # fmt: skip
    record = Record(
        arm=arm, method="sgd", seeds=list(seeds), model=ModelRecord(name="linear"), parameters={}, data="digits",
        data_digest="0", test_examples=200, variants=dict.fromkeys(variants, scores),
    )  # fmt: skip
    return Evaluation(record, predictions)


def claim(**changes) -> Claim:
    return Claim(**{
        "id": "a", "paper": "p", "statement": "s", "arm": "line", "against": "baseline", "metric": "accuracy",
        "verdict": "better", "differs_from_paper": "d",
    } | changes)  # fmt: skip


@pytest.fixture
def evaluations() -> dict[str, Evaluation]:
    return {
        "baseline": evaluation("baseline", 0.5),
        "line": evaluation("line", 0.9, variants=("midpoint", "ensemble")),
        "apart": evaluation("apart", 0.9, seeds=(2, 3, 4)),
    }


def test_a_claim_becomes_the_designs_record(evaluations):
    found = judge(claim(), evaluations).model_dump(mode="json")
    low, high = found["interval"]
    assert {key: found[key] for key in ("id", "paper", "statement", "metric", "differs_from_paper")} == {
        "id": "a", "paper": "p", "statement": "s", "metric": "accuracy", "differs_from_paper": "d",
    }  # fmt: skip
    assert (found["arm"], found["against"], found["verdict"]) == ("line/midpoint", "baseline/last", "reproduced")
    assert found["difference"] == pytest.approx(0.4)
    assert 0.3 < low < 0.4 < high < 0.5


def test_less_is_better_for_a_loss(evaluations):
    assert judge(claim(metric="nll"), evaluations).verdict == "reproduced"
    assert judge(claim(metric="nll", arm="baseline", against="line"), evaluations).verdict == "refuted"
    assert judge(claim(metric="ece", verdict="not_worse"), evaluations).verdict == "reproduced"


def test_a_variant_is_chosen_by_name(evaluations):
    found = judge(claim(arm="line/ensemble"), evaluations)
    assert (found.arm, found.difference) == ("line/ensemble", pytest.approx(0.405))


def test_too_few_common_seeds_are_undecided_with_the_reason(evaluations):
    found = judge(claim(arm="apart"), evaluations)
    assert (found.verdict, found.interval, found.seeds) == ("undecided", None, 1)
    assert "one seed is common" in found.reason


def test_a_variant_that_does_not_exist_is_one_line_that_lists_those_that_do(evaluations):
    with pytest.raises(AssayError) as caught:
        judge(claim(arm="line/midpiont"), evaluations)
    line = (
        "params.yaml: claims.a.arm: line has no variant 'midpiont'; did you mean midpoint? allowed: midpoint, ensemble"
    )
    assert str(caught.value) == line


def test_an_arm_that_was_not_evaluated_is_named(evaluations):
    with pytest.raises(
        AssayError, match=r"^params.yaml: claims.a.against: 'swa' was not evaluated; allowed: baseline, "
    ):
        judge(claim(against="swa/average"), evaluations)
