"""The section `lottery`: a chain of rounds, and one clear line for whatever is not one."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from assay.core import config
from assay.core.config.sections import Lottery, fractions_of
from assay.core.errors import AssayError
from assay.methods import checks

PARAMS = {
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 100},
    "model": {"name": "mlp", "hidden": [32]},
    "train": {"steps": 300, "batch_size": 60, "optimizer": {"name": "adam", "lr": 1e-3}, "evaluate_every": 50},
}
LOTTERY = {
    "prune_fraction": 0.2,
    "scope": "layerwise",
    "rewind": 0,
    "rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
    "controls": [2],
}


def load(folder, lottery, **others):
    path = folder / "params.yaml"
    with path.open("w") as stream:
        YAML().dump({**PARAMS, **others, "lottery": lottery}, stream)
    return config.load(path)


def test_rounds_are_runs(tmp_path):
    runs = load(tmp_path, LOTTERY).runs()
    assert [run.arm for run in runs] == ["baseline", "round-1", "round-2"]
    assert [run.options["controls"] for run in runs[1:]] == [[], ["reinit", "random", "one_shot"]]
    assert [run.options["after"] for run in runs[1:]] == ["baseline", "round-1"]
    assert {run.method for run in runs[1:]} == {"lottery"}
    params = config.load(tmp_path / "params.yaml")
    assert (params.lottery.names, params.run("round-2")) == (["round-1", "round-2"], runs[2])
    with pytest.raises(AssayError, match=r"^params.yaml: no arm or round 'round-3'; .*allowed: baseline, round-1, ro"):
        params.run("round-3")


def test_a_claim_may_name_a_round(tmp_path):
    claim = {"id": "c", "paper": "p", "statement": "s", "arm": "round-2/ticket", "against": "round-2/reinit"}
    claim |= {"metric": "accuracy", "verdict": "better"}
    assert load(tmp_path, LOTTERY, claims=[claim]).claims[0].arm == "round-2/ticket"
    with pytest.raises(AssayError, match=r"claims.c.arm: no arm 'round-3'; there are baseline, round-1, round-2$"):
        load(tmp_path, LOTTERY, claims=[{**claim, "arm": "round-3"}])


def test_one_number_prunes_the_output_layer_at_half_of_it():
    assert fractions_of(0.2) == {"conv": 0.2, "linear": 0.2, "output": 0.1, "shortcut": 0.2}
    assert fractions_of({"conv": 0.2}) == {"conv": 0.2}


ROUNDS = LOTTERY["rounds"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"prune_fraction": 0}, "prune_fraction: got 0; it must be a fraction above 0 and below 1"),
        ({"prune_fraction": 1.0}, "prune_fraction: got 1.0; it must be a fraction above 0 and below 1"),
        ({"prune_fraction": -0.2}, "prune_fraction: got -0.2; it must be a fraction above 0 and below 1"),
        ({"prune_fraction": "much"}, "prune_fraction: got 'much'; it must be a fraction above 0 and below 1"),
        ({"prune_fraction": {"conv": 1.5}}, "prune_fraction.conv: got 1.5; it must be a fraction above 0 and below 1"),
        (
            {"prune_fraction": {"dense": 0.2}},
            "prune_fraction.dense: no such kind of layer; allowed: conv, linear, output, shortcut",
        ),
        ({"prune_fraction": {}}, "prune_fraction: names no kind of layer, so nothing would be pruned"),
        ({"scope": "everywhere"}, "scope: got 'everywhere'; it should be 'layerwise' or 'global'"),
        ({"rewind": -1}, "rewind: got -1; it should be greater than or equal to 0"),
        ({"rewind": 300}, "rewind: got 300; it must be less than train.steps"),
        ({"controls": [3]}, "controls: there is no round 3; the rounds go from 1 to 2"),
        ({"rounds": {}, "controls": [1]}, "controls: there is no round 1; there are none"),
        ({"rounds": {**ROUNDS, "4": {"after": "round-3"}}}, "rounds.4: round 3 is missing before it"),
        (
            {"rounds": {"1": {"after": "baseline"}, "2": {"after": "baseline"}}},
            "rounds.2.after: got 'baseline'; round 2",
        ),
        ({"rounds": {"1": {"after": "round-1"}}, "controls": []}, "rounds.1.after: got 'round-1'; round 1 starts from"),
        (
            {"rounds": {1: {"after": "baseline"}}, "controls": []},
            'rounds.1: a round is named by its number, from 1, in quotes, as in "1": {after',
        ),
        ({"rounds": {"one": {"after": "baseline"}}}, "rounds.one: a round is named by its number, from 1, in quotes"),
        ({"rounds": {"1": {"after": "baseline", "p": 1}}, "controls": []}, "rounds.1.p: unknown key; allowed: after"),
        ({"steps": 3}, "steps: unknown key; "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, change, line):
    with pytest.raises(AssayError) as raised:
        load(tmp_path, {**LOTTERY, **change})
    (said,) = [each for each in str(raised.value).splitlines() if "lottery" in each]
    assert f"params.yaml: lottery.{line}" in said


@pytest.mark.parametrize("key", [key for key in LOTTERY if key != "rounds"])
def test_with_rounds_every_key_must_be_there_since_dvc_reads_it(tmp_path, key):
    with pytest.raises(AssayError, match=rf"lottery\.{key}: missing, and required$"):
        load(tmp_path, {name: value for name, value in LOTTERY.items() if name != key})


def test_a_round_is_no_arm(tmp_path):
    with pytest.raises(AssayError, match=r"arms.mine.method: lottery is no arm; ask for its rounds under `lottery`"):
        load(tmp_path, LOTTERY, arms={"mine": {"method": "lottery"}})


def chain(count):
    return {str(n): {"after": f"round-{n - 1}" if n > 1 else "baseline"} for n in range(1, count + 1)}


def test_a_round_that_would_leave_a_layer_empty_is_found_before_training(tmp_path):
    lottery = {**LOTTERY, "prune_fraction": {"linear": 0.2, "output": 0.9}, "controls": []}
    checks.check(load(tmp_path, {**lottery, "rounds": chain(2)}))  # 320 weights: 32, then 3
    line = r"lottery.rounds.3: would leave 0 of 320 weights in output.weight; ask for fewer rounds, or for a smaller"
    with pytest.raises(AssayError, match=line):
        checks.check(load(tmp_path, {**lottery, "rounds": chain(4)}))


def test_a_model_without_a_layer_to_prune_is_refused(tmp_path):
    with pytest.raises(AssayError, match=r"lottery.prune_fraction: mlp has no layer of a kind that it names \(conv\)"):
        checks.check(load(tmp_path, {**LOTTERY, "prune_fraction": {"conv": 0.2}}))


def test_a_file_without_rounds_asks_for_none(tmp_path):
    path = tmp_path / "params.yaml"
    with path.open("w") as stream:
        YAML().dump(PARAMS, stream)
    params = config.load(path)
    assert params.lottery.names == []
    with pytest.raises(AssayError, match=r"^params.yaml: no arm or round 'round-1'; allowed: baseline$"):
        params.run("round-1")


def test_a_section_is_what_it_says():
    assert Lottery.model_validate(LOTTERY).names == ["round-1", "round-2"]
