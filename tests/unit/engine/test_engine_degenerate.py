"""A method that would never do what it is about, at the size it is given, is refused before anything trains.

Its results would be those of another method, and carry a verdict on it.
"""

from __future__ import annotations

import pytest

from assay.core import config
from assay.core.errors import AssayError
from assay.methods import checks

PARAMS = {  # 1,237 examples to train on, 38 batches
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "mlp", "hidden": [16]},
    "train": {"steps": 60, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}, "evaluate_every": 20},
}
ROUNDS = {
    "prune_fraction": {"output": 0.001},
    "scope": "layerwise",
    "rewind": 0,
    "rounds": {"1": {"after": "baseline"}},
    "controls": [],
}


def checked(arm=None, **changes):
    arms = {"arms": {"a": arm}} if arm else {}
    checks.check(config.Params.model_validate({**PARAMS, **arms, **changes}))


@pytest.mark.parametrize(
    ("least", "most", "line"),
    [
        # each pair: a value that is refused, and the next to it that is not
        (
            {"method": "sgd", "batches": "fixed", "steps": 38},
            {"steps": 39},
            "arms.a.steps: 38 steps of a are over before",
        ),
        (
            {"method": "hard_batches", "steps": 38},
            {"steps": 39},
            "arms.a.steps: 38 steps of a are over before its first",
        ),
        (
            {"method": "hard_batches", "batch_size": 619},
            {"batch_size": 618},
            "arms.a.batch_size: 1237 training examples",
        ),
        ({"method": "ordered_sgd", "q": 32}, {"q": 31}, "arms.a.q: 32 leaves out none of the 32 examples"),
        ({"method": "selective_backprop", "batch_size": 1}, {"batch_size": 2}, "arms.a.batch_size: of one example, a"),
        (
            {"method": "subset", "k": 8, "pretrain": 0.06},
            {"pretrain": 0.1},
            "arms.a.pretrain: 0.06 of 60 steps is 4, over",
        ),
        (
            {"method": "swa", "cycle_steps": 8},
            {"cycle_steps": 7},
            "arms.a.cycle_steps: two cycles of 8 steps from step 45",
        ),
        ({"method": "subspace", "pair": 0.5}, {"pair": 0.4}, "arms.a.pair: got 0.5; at 0.5 both networks of the pair"),
        (
            {"method": "subspace", "layerwise": True, "model": {"name": "linear"}},
            {"model": {"name": "mlp", "hidden": [4]}},
            "arms.a.layerwise: linear has one layer",
        ),
        (
            {"method": "trajectory", "block": 413},
            {"block": 412},
            "arms.a.block: two pilots and a batch of 413 are more than the 1237 training",
        ),
        (
            {"method": "trajectory", "test": "full", "steer": True, "moves": 32, "tau": 32},
            {"moves": 64},
            "arms.a.steer: has no effect, since 0.85 (burn_in) of 1 sweeps is none",
        ),
        (
            {"method": "trajectory", "s_start": 2.0, "moves": 32, "tau": 32},
            {"moves": 64},
            "arms.a.s_start: has no effect, since 0.85 (burn_in) of 1 sweeps is none; raise burn_in, or the number",
        ),
        (
            {"method": "sgd", "label_noise": 0.0008},
            {"label_noise": 0.0009},
            "arms.a.label_noise: 0.0008 of 1237 training",
        ),
    ],
)
def test_an_arm_that_would_be_another_method_is_refused(least, most, line):
    with pytest.raises(AssayError) as raised:
        checked(least)
    assert str(raised.value).startswith(f"params.yaml: {line}")
    assert "\n" not in str(raised.value)
    checked({**least, **most})


def test_the_shared_budget_is_named_where_it_is_to_blame():
    with pytest.raises(AssayError, match=r"^params.yaml: train.steps: 30 steps of a are over before .* 39 or more"):
        checked({"method": "hard_batches"}, train={**PARAMS["train"], "steps": 30})


def test_a_round_that_prunes_nothing_is_refused():
    with pytest.raises(AssayError, match=r"lottery.rounds.1: would prune no weight"):
        checked(lottery=ROUNDS)
    checked(lottery={**ROUNDS, "prune_fraction": {"output": 0.004}})  # one of 160 weights


def test_the_ticket_of_round_1_is_no_control_of_itself():
    rounds = config.Params.model_validate({**PARAMS, "lottery": {**ROUNDS, "controls": [1]}}).runs()
    assert rounds[1].options["controls"] == ["reinit", "random"]


def test_own_images_are_checked_where_they_are_counted():
    from assay.data.sets.images import Images

    params = config.Params.model_validate(
        {
            **PARAMS,
            "data": {"name": "folder", "side": 8, "validation": 27},
            "train": {**PARAMS["train"], "batch_size": 60},
            "arms": {"hard": {"method": "hard_batches"}},
        }
    )
    checks.check(params)  # nothing is known of the folder
    line = r"^params.yaml: train.batch_size: 108 training examples make one batch of 60, .* set it to 54 or less$"
    with pytest.raises(AssayError, match=line):
        checks.check(params, (Images(3, 8, 8, 2), 108))
