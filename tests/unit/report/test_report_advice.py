"""What to use: on rows made by hand, each line names the right network, what it gains and what it costs."""

from __future__ import annotations

import pytest
from report_site import every_kind

from assay.report.advice import Candidate, Gap, advise, answers, candidates, note
from assay.report.summary import Row

SPARSE = [
    {"round": 8, "latency_ms": {"dense": {"1": 1.0, "256": 2.0}, "sparse": {"1": 1.9, "256": 2.8}}},
    {"round": 7, "latency_ms": {"dense": {"1": 1.0, "256": 2.0}, "sparse": {"1": 0.8, "256": 4.0}}},
]
MATTERS = 0.002
GAP = Gap(0.001, 0.0005, 0.0015)


def candidate(arm: str, validation: float | None, gain: float | None = None, wide: float = 0.0005, **changes):
    """A variant of an arm whose test accuracy is the baseline's 0.98 plus `gain`, give or take `wide`."""
    own = {"train": 1.0, "infer": 1.0, "control": False, "loss": 1 - (validation or 0)} | changes
    known = gain is not None
    spread = {
        f"{metric}{end}": 0.98 + (gain or 0) if metric == "accuracy" else 0.02
        for metric in ("accuracy", "nll", "brier", "ece")
        for end in ("", "_min", "_max")
    }
    row = Row(
        arm=arm, variant="last", method="sgd", seeds=20, members=own.get("members", 1), density=own.get("density", 1.0),
        difference=gain, difference_low=gain - wide if known else None, difference_high=gain + wide if known else None,
        disagreement=None, train_samples=1, forward_samples=0, optimizer_steps=1, inference_cost=own["infer"],
        best_step=None, above_majority=own.get("above_majority", True), **spread,
    )  # fmt: skip
    found = None if validation is None else (validation, own["loss"])
    return Candidate(row, arm, found, own["control"], own["train"], own["infer"])


BASE = candidate("baseline", 0.98)


def told(*others, sparsity=(), gap=GAP) -> dict[str, str]:
    return answers([BASE, *others], sparsity, MATTERS, lambda *_: gap)


def at_the_baselines_cost(*others) -> str:
    return told(*others)["At no more training than the baseline"]


def test_it_is_chosen_on_validation_and_told_with_the_test_difference():
    lucky_on_test = candidate("lucky", 0.981, 0.009)
    assert at_the_baselines_cost(lucky_on_test, candidate("hard", 0.985, 0.004)) == (
        "**`hard`** (98.40 %): +0.400 [+0.350, +0.450] points, for 1.0 × the training and 1.0 × the inference."
    )


def test_what_costs_more_to_train_or_to_run_is_not_at_the_baselines_cost():
    dearer = [
        candidate("long", 0.99, 0.01, train=2.0),
        candidate("wide", 0.99, 0.01, infer=2.0),
        candidate("ensemble", 0.99, 0.01, members=2),
    ]
    found = told(*dearer, candidate("hard", 0.985, 0.004))
    assert "`hard`" in found["At no more training than the baseline"]
    assert "`long`" in found["At any cost"]
    assert "for 2.0 × the training" in found["At any cost"]


def test_a_control_that_wins_is_said_to_be_one_and_the_best_method_stands_beside_it():
    text = at_the_baselines_cost(candidate("swa", 0.99, 0.01, control=True), candidate("line", 0.985, -0.001))
    assert text.startswith("**`swa`**")
    assert "a control" in text
    assert "the best of the tested methods is `line`, −0.100 [" in text


@pytest.mark.parametrize(
    ("gain", "words"), [(0.0004, "not shown to be better, +0.040 [−0.010, +0.090]"), (-0.004, "worse, −0.400 [")]
)
def test_a_first_place_that_the_test_set_does_not_confirm_keeps_the_baseline(gain, words):
    text = at_the_baselines_cost(candidate("hard", 0.99, gain))
    assert text.startswith("**Keep the baseline** (98.00 %)")
    assert words in text


def test_where_nothing_is_better_on_validation_the_baseline_stays():
    found = told(candidate("hard", 0.9, 0.01))
    assert found["At no more training than the baseline"].startswith("**Keep the baseline**")
    assert found["At any cost"].startswith("The same")


def test_smaller_is_told_with_measured_time_not_with_counts_alone():
    rounds = [
        candidate("round-7", 0.981, 0.001, infer=0.21, density=0.21),
        candidate("round-8", 0.9795, 0.0, infer=0.168, density=0.168),
        candidate("round-9", 0.97, -0.02, infer=0.1, density=0.1),  # loses more than matters on validation
    ]
    text = told(*rounds, sparsity=SPARSE)["Cheaper to run, without loss"]
    assert text.startswith("**`round-8`**: 6.0 times fewer operations")
    assert "a loss of 0.2 points is ruled out" in text
    assert (
        "**Measured, it is 1.9 times slower at batch 1, 1.4 times slower at batch 256**; it saves memory, not" in text
    )
    assert "5 times faster, measured: none; the fastest is `round-7`, 1.2 times faster at batch 1." in text
    slow = told(*rounds, sparsity=SPARSE[:1])["Cheaper to run, without loss"]
    assert slow.endswith("5 times faster, measured: none; no sparse network beats the dense.")
    narrow = told(candidate("narrow", 0.98, 0.0, wide=0.01, infer=0.2))["Cheaper to run, without loss"]
    assert "5.0 times fewer" in narrow
    assert "a loss of 0.2 points is not ruled out" in narrow
    assert "not measured" in narrow


def test_without_a_network_that_is_as_good_and_cheaper_it_says_none():
    text = told(candidate("round-9", 0.97, -0.02, infer=0.1))["Cheaper to run, without loss"]
    assert text.startswith("None: every network")


def test_calibration_is_chosen_by_validation_loss():
    text = told(candidate("sharp", 0.99, 0.01, loss=0.5), candidate("line", 0.981, 0.001, loss=0.01))["Best calibrated"]
    assert text.startswith("**`line`**")
    assert "ECE 2.00 % (+0.100 [+0.050, +0.150] points)" in text
    assert told(candidate("sharp", 0.99, 0.01, loss=0.5))["Best calibrated"].startswith("**The baseline**")


def test_what_to_drop_and_why():
    text = told(
        candidate("chance", 0.1, -0.9, above_majority=False, control=True),
        candidate("hard", 0.97, -0.004),
        candidate("cyclic", 0.98, 0.0002),
        candidate("wide_open", 0.98, 0.0, wide=0.01),
        candidate("better", 0.99, 0.01),
        candidate("control", 0.97, -0.004, control=True),
        candidate("subset", 0.95, -0.02, train=0.4),
        candidate("scratch", 0.97, -0.01, train=0.4, control=True),
    )["To drop"]
    assert text == (
        "No better than always answering the largest class: `chance` (8.00 %). "
        "Worse than the baseline at no less cost: `hard` (−0.40). "
        "Worse than the baseline, and beaten by another arm at no more cost: `subset` (by `scratch`). "
        "Changed nothing (less than 0.2 points either way): `cyclic`."
    )


def test_a_cheaper_arm_is_kept_unless_another_is_shown_to_beat_it():
    cheap = candidate("subset", 0.95, -0.02, train=0.4), candidate("scratch", 0.97, -0.01, train=0.4, control=True)
    assert "Nothing is shown" in told(*cheap, gap=Gap(0.01, -0.001, 0.02))["To drop"]


def test_without_validation_nothing_is_chosen():
    none = Gap(None, None, None)
    made = answers([candidate("baseline", None), candidate("hard", None, 0.01)], [], MATTERS, lambda *_: none)
    assert "nothing can be chosen" in made["What to use"]
    assert list(made) == ["What to use", "To drop"]


def test_alone_the_baseline_gets_no_advice_and_the_note_says_among_how_many():
    assert answers([BASE], [], MATTERS, lambda *_: Gap(None, None, None)) == {}
    assert "among 1 variants" in note([BASE])


def test_arms_on_noisy_labels_are_no_candidates(site):
    content = every_kind(site)
    found = " ".join(advise(content, candidates(content)).values())
    assert "noisy" not in found
    assert "`line/midpoint`" in found
