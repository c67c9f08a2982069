"""A claim that could not be decided for want of a variant or of a number is refused before anything trains."""

from __future__ import annotations

import pytest

from assay.core import config
from assay.core.errors import AssayError
from assay.methods import checks

PARAMS = {
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "mlp", "hidden": [16]},
    "train": {"steps": 60, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}, "evaluate_every": 20},
    "arms": {
        "line": {"method": "subspace"},
        "simplex": {"method": "subspace", "shape": "simplex"},
        "hard": {"method": "hard_batches"},
        "swa": {"method": "swa", "cycle_steps": 5},
        "two": {"method": "deep_ensemble", "members": 2},
        "chain": {"method": "trajectory", "tau": 4, "s": 50.0},
        "single": {"method": "trajectory", "tau": 1, "s": 50.0, "burn_in": 0.99},
        "others": {"method": "sgd", "seeds": [7, 8]},
        "once": {"method": "sgd", "evaluate_every": 60},
        "rare": {"method": "sgd", "evaluate_every": 40},
        "decayed": {"method": "sgd", "schedule": {"name": "cosine"}},
        "dropped": {"method": "sgd", "schedule": {"name": "step", "at": [30]}},
        "level": {"method": "sgd", "schedule": {"name": "cosine", "final": 1.0}},
        "later": {"method": "sgd", "schedule": {"name": "step", "at": [60]}},
        "noisy": {"method": "sgd", "label_noise": 0.4},
    },
    "lottery": {
        "prune_fraction": 0.2,
        "scope": "layerwise",
        "rewind": 0,
        "rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
        "controls": [1],
    },
}


def check(arm, metric="accuracy", against="baseline", **changes):
    verdict = {"verdict": "ratio", "at_most": 2} if against is None else {"verdict": "better", "more_is_better": True}
    claim = {"id": "c", "paper": "p", "statement": "s", "arm": arm, "metric": metric, **verdict}
    claim |= {} if against is None else {"against": against}
    if verdict["verdict"] == "better" and metric != "accuracy":
        claim["matters"] = 0.01
    checks.check(config.Params.model_validate({**PARAMS, "claims": [claim], **changes}))


@pytest.mark.parametrize(
    ("claim", "line"),
    [
        (
            ("line/midpont",),
            ".arm: line has no variant 'midpont'; did you mean midpoint? allowed: midpoint, ensemble, pair",
        ),
        (("simplex/pair",), ".arm: simplex has no variant 'pair'; allowed: midpoint, ensemble"),
        (
            ("line", "accuracy", "swa/avrage"),
            ".against: swa has no variant 'avrage'; did you mean average? allowed: av",
        ),
        (("two/members_3",), ".arm: two has no variant 'members_3'; did you mean members_2? allowed: members_2"),
        (("round-2/reinit",), ".arm: round-2 has no variant 'reinit'; allowed: ticket"),
        (("round-1/one_shot",), ".arm: round-1 has no variant 'one_shot'; allowed: ticket, reinit, random"),
        (("baseline/midpoint", "accuracy", "hard"), ".arm: baseline has no variant 'midpoint'; allowed: last"),
        (("line/midpoint", "accuracy", "line"), ".against: is line/midpoint, as arm is; name another variant"),
        (("others",), ": others and baseline have no seed in common, so they cannot be paired"),
        (
            ("chain", "record.savng", None),
            ".metric: the record of chain has no number 'savng' for each seed; did you mean",
        ),
        (
            ("single", "record.loss_drift", None),
            ".metric: the record of single has no number 'loss_drift' for each seed; ",
        ),
        (("chain", "record.batch_histogram.at_least", None), ".metric: the record of chain has no number 'batch_hist"),
        (("hard", "record.hard_batches.rounds"), ".metric: the record of baseline has no number 'hard_batches.rounds'"),
        (("line", "disagreement", "line/pair"), ".metric: disagreement is between members, and line/midpoint has one"),
        (
            ("chain", "total_variation", "single"),
            ".metric: total_variation is between members, and single/ensemble has one",
        ),
        (
            ("hard", "best_step_accuracy"),
            ".metric: best_step_accuracy needs the curve of the test set, which only baseline, the",
        ),
        (
            ("once", "best_step"),
            ".metric: best_step is read off the validation curve, and that of once has one point; set ar",
        ),
        (
            ("hard", "best_step", "decayed"),
            ".metric: best_step says nothing of decayed, whose learning rate decays (arms.decayed.schedule): the least",
        ),
        (("dropped", "best_step"), ".metric: best_step says nothing of dropped, whose learning rate decays (arms.drop"),
    ],
)
def test_what_it_lacks_is_named(claim, line):
    with pytest.raises(AssayError) as raised:
        check(*claim)
    (said,) = str(raised.value).splitlines()
    assert said.startswith(f"params.yaml: claims.c{line}")


@pytest.mark.parametrize("metric", ["best_step", "best_step_accuracy"])
def test_without_validation_there_is_no_early_stop(metric):
    unvalidated = {"data": {"name": "digits", "validation": 0}, "arms": {"hard": {"method": "hard_batches"}}}
    with pytest.raises(
        AssayError, match=rf"^params.yaml: claims.c.metric: {metric} is read off .* is 0; set it higher$"
    ):
        check("round-1", metric, **unvalidated)


@pytest.mark.parametrize(
    "claim",
    [
        ("line/pair", "disagreement", "two/members_2"),
        ("simplex/ensemble", "density", "round-1/random"),
        ("round-1/reinit", "best_step_accuracy"),
        ("rare", "best_step"),
        ("level", "best_step"),
        ("later", "best_step"),
        ("decayed", "accuracy"),
        ("noisy", "best_step_accuracy"),
        ("chain/vote", "total_variation", None),
        ("chain", "record.decisions.accepted", "single"),
        ("two", "record.trainings.members_2", None),
        ("hard", "inference_flops", "once"),
    ],
)
def test_what_it_will_have_is_accepted(claim):
    check(*claim)


def test_a_claim_of_a_preset_names_nothing_here():
    claim = {"id": "c", "paper": "p", "statement": "s", "preset": "elsewhere"}
    checks.check(config.Params.model_validate({**PARAMS, "claims": [claim]}))


def test_all_claims_that_are_wrong_are_named_at_once():
    claims = [
        {"id": f"c{n}", "paper": "p", "statement": "s", "arm": arm, "against": "baseline", "metric": "accuracy"}
        | {"verdict": "better"}
        for n, arm in enumerate(("line/x", "line", "swa/x"))
    ]
    with pytest.raises(AssayError) as raised:
        checks.check(config.Params.model_validate({**PARAMS, "claims": claims}))
    assert [line.split(": ")[1] for line in str(raised.value).splitlines()] == ["claims.c0.arm", "claims.c2.arm"]


def test_the_shared_schedule_is_named_where_it_is_the_one_that_decays():
    decayed = {"train": PARAMS["train"] | {"schedule": {"name": "cosine"}}, "arms": {}}
    with pytest.raises(AssayError) as raised:
        check("round-1/reinit", "best_step_accuracy", **decayed)
    assert "learning rate decays (train.schedule)" in str(raised.value).splitlines()[0]


@pytest.mark.parametrize(
    ("metric", "changes", "line"),
    [
        ("recall.10", {}, "digits has no class '10'; did you mean 1? allowed: 0, 1"),
        ("top_5", {}, "top_5 needs more than 20 classes, and digits has 10; claim accuracy"),
        (
            "scaled_ece",
            {"data": {"name": "digits", "validation": 0}},
            "scaled_ece rests on a temperature fitted on the ",
        ),
        ("temperature", {"data": {"name": "digits", "validation": 0}}, "temperature rests on a temperature fitted on "),
    ],
)
def test_a_claim_about_classes_or_temperatures_that_there_are_not(metric, changes, line):
    with pytest.raises(AssayError) as raised:
        check("swa", metric, **changes)
    (told,) = str(raised.value).splitlines()
    assert told.startswith(f"params.yaml: claims.c.metric: {line}")


def test_the_classes_of_a_folder_are_those_that_it_has_here():
    claim = {"id": "c", "paper": "p", "statement": "s", "arm": "swa", "against": "baseline", "metric": "recall.cat"}
    params = {**PARAMS, "data": {"name": "folder", "side": 8, "validation": 20}}
    params = config.Params.model_validate({**params, "claims": [{**claim, "verdict": "not_worse"}]})
    checks.check(params)  # nothing is known of the folder
    checks.check(params, names=["cat", "dog"])
    with pytest.raises(AssayError, match=r"claims\.c\.metric: folder has no class 'cat'; did you mean cats\?"):
        checks.check(params, names=["cats", "dogs"])


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "worst_class", "recall.7", "scaled_nll"])
def test_a_claim_about_classes_or_calibration_is_taken(metric):
    check("swa", metric)
