"""seeds.yaml: what a block is called, which seeds it has, and one line for each block that does not fit."""

from __future__ import annotations

import pytest

from assay.core import config
from assay.core.config.blocks import (
    NO_BLOCKS,
    arm_of_block,
    block_name,
    canonical,
    read_blocks,
    split_block,
    stages_of,
)
from assay.core.config.parsing import parse
from assay.core.errors import AssayError

ROUND = {"after": "baseline"}
PARAMS = parse(
    config.Params,
    {
        "seeds": [100, 101],
        "data": {"name": "digits", "validation": 100},
        "model": {"name": "mlp", "hidden": [4]},
        "train": {"steps": 5, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 5},
        "arms": {
            "hard": {"method": "hard_batches", "delta": 0.5},
            "few": {"method": "sgd", "seeds": [100]},
            "own": {"method": "sgd", "seeds": [7, 8]},
        },
        "lottery": {
            "prune_fraction": 0.2, "scope": "layerwise", "rewind": 0, "controls": [],
            "rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
        },
    },
    "params.yaml",
)  # fmt: skip
HARD = {"arm": "hard", "method": "hard_batches"}
FITTING = """\
more:
  hard-1: {arm: hard, method: hard_batches, seeds: [102, 103]}
  hard-2: {arm: hard, method: hard_batches, seeds: [104]}
  few-1: {arm: few, method: sgd, seeds: [101, 102]}
more_baseline: {baseline-1: {seeds: [102]}}
more_rounds:
  "1-1": {after: baseline-1, dense: baseline-1, seeds: [102]}
  "2-1": {after: round-1-1, dense: baseline-1, seeds: [102]}
"""


def blocks_of(tmp_path, text: str) -> config.Blocks:
    (tmp_path / "seeds.yaml").write_text(text)
    return read_blocks(tmp_path / "seeds.yaml")


@pytest.mark.parametrize(
    ("name", "arm", "block", "stages"),
    [
        ("baseline", "baseline", 0, ("baseline", "evaluate_baseline")),
        ("baseline-1", "baseline", 1, ("baseline_more@baseline-1", "evaluate_baseline_more@baseline-1")),
        ("hard", "hard", 0, ("train@hard", "evaluate@hard")),
        ("hard-12", "hard", 12, ("train_more@hard-12", "evaluate_more@hard-12")),
        ("round_robin", "round_robin", 0, ("train@round_robin", "evaluate@round_robin")),
        ("round-7", "round-7", 0, ("prune@7", "evaluate_round@7")),
        ("round-7-1", "round-7", 1, ("prune_more@7-1", "evaluate_round_more@7-1")),
    ],
)
def test_a_name_says_arm_block_and_stages(name, arm, block, stages):
    assert split_block(name) == (arm, block)
    assert block_name(arm, block) == name
    assert stages_of(name) == stages
    assert [arm_of_block(stage) for stage in stages] == [arm if block else ""] * 2


def test_seeds_go_on_above_their_maximum():
    assert canonical((3, 1), 5) == (3, 1, 4, 5, 6)
    assert canonical((3, 1), 1) == (3,)


def test_blocks_that_fit_become_runs_of_their_arms(tmp_path):
    blocks = blocks_of(tmp_path, FITTING)
    runs = {run.name: run for run in config.block_runs(PARAMS, blocks)}
    assert list(runs) == ["baseline-1", "hard-1", "hard-2", "few-1", "round-1-1", "round-2-1"]
    assert (runs["hard-2"].arm, runs["hard-2"].block, runs["hard-2"].seeds) == ("hard", 2, (104,))
    whole = next(run for run in PARAMS.runs() if run.arm == "hard")
    assert runs["hard-1"].parameters == whole.parameters
    assert blocks.total(whole) == 5
    assert blocks.of("round-2") == ["round-2-1"]


def test_what_is_written_is_read_again(tmp_path):
    blocks = blocks_of(tmp_path, FITTING)
    assert blocks_of(tmp_path, blocks.text()) == blocks
    assert blocks_of(tmp_path, NO_BLOCKS.text()) == NO_BLOCKS
    assert read_blocks(tmp_path / "absent.yaml") == NO_BLOCKS


def test_a_block_that_is_added_fits(tmp_path):
    blocks = blocks_of(tmp_path, FITTING)
    for name, seeds in (("hard", (105,)), ("baseline", (103,)), ("round-1", (103,)), ("round-2", (103,))):
        run = next(run for run in PARAMS.runs() if run.arm == name)
        blocks = blocks.with_block(run, seeds, len(blocks.of(name)) + 1)
    assert blocks.problems(PARAMS.runs()) == []
    assert blocks.more_rounds["2-2"].model_dump(exclude_none=True) == {
        "after": "round-1-2",
        "dense": "baseline-2",
        "seeds": (103,),
    }


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"more": {"hrad-1": {**HARD, "arm": "hrad", "seeds": [102]}}}, "more.hrad-1: params.yaml has no 'hrad'; "),
        ({"more": {"hard": {**HARD, "seeds": [102]}}}, "more.hard: not the name of a block here; it should be like"),
        ({"more": {"round-1-1": {**HARD, "seeds": [102]}}}, "more.round-1-1: not the name of a block here"),
        ({"more_baseline": {"hard-1": {"seeds": [102]}}}, "more_baseline.hard-1: not the name of a block here"),
        (
            {"more": {"hard-1": {**HARD, "method": "sgd", "seeds": [102]}}},
            "more.hard-1: got {arm: hard, method: sgd, ",
        ),
        ({"more": {"hard-1": {**HARD, "arm": "few", "seeds": [102]}}}, "more.hard-1: got {arm: few, method: hard_"),
        ({"more": {"hard-2": {**HARD, "seeds": [102]}}}, "more.hard-2: comes without block 1 before it; blocks count"),
        (
            {"more": {"hard-1": {**HARD, "seeds": [101]}}},
            (
                "more.hard-1: got {arm: hard, method: hard_batches, seeds: [101]}; it should be "
                "{arm: hard, method: hard_batches, seeds: [102]}"
            ),
        ),
        (
            {"more": {"hard-1": {**HARD, "seeds": [103, 102]}}},
            "more.hard-1: got {arm: hard, method: hard_batches, seeds: [103, 102]}; it ",
        ),
        (
            {"more": {"own-1": {"arm": "own", "method": "sgd", "seeds": [102]}}},
            "more.own-1: arms.own.seeds are its own, so it takes no blocks; drop one of the two",
        ),
        (
            {"more_rounds": {"1-1": {"after": "baseline-1", "dense": "baseline-1", "seeds": [102]}}},
            "more_rounds.1-1: starts from baseline-1, which must be a block of the same seeds; add it",
        ),
        (
            {"more_rounds": {"2-1": {"after": "baseline-1", "dense": "baseline-1", "seeds": [102]}}},
            "more_rounds.2-1: got {after: baseline-1, dense: baseline-1, seeds: [102]}; it should be {after: round-1-1",
        ),
        (
            {
                "more_baseline": {"baseline-1": {"seeds": [102, 103]}},
                "more_rounds": {"1-1": {"after": "baseline-1", "dense": "baseline-1", "seeds": [102]}},
            },
            "more_rounds.1-1: starts from baseline-1, which must be a block of the same seeds; add it",
        ),
        (
            {"more_rounds": {"3-1": {"after": "round-2-1", "dense": "baseline-1", "seeds": [102]}}},
            "more_rounds.3-1: params.yaml has no 'round-3'",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(content, line):
    with pytest.raises(AssayError) as raised:
        config.block_runs(PARAMS, parse(config.Blocks, content, "seeds.yaml"))
    (only,) = str(raised.value).splitlines()
    assert only.startswith(f"seeds.yaml: {line}")


def test_seeds_that_choose_a_learning_rate_together_are_in_no_blocks():
    content = PARAMS.model_dump(exclude_unset=True)
    content["train"]["tune"] = {"lr": [0.1, 0.2]}
    content["arms"] = {"hard": {"method": "hard_batches", "delta": 0.5}}
    blocks = parse(config.Blocks, {"more": {"hard-1": {**HARD, "seeds": [102]}}}, "seeds.yaml")
    with pytest.raises(AssayError, match=r"seeds.yaml: more.hard-1: hard has `tune`: all its seeds choose one"):
        config.block_runs(parse(config.Params, content, "params.yaml"), blocks)


def test_a_file_of_another_form_is_refused(tmp_path):
    for text, line in (
        ("more:\n", "seeds.yaml: more: got None"),
        ("mor: {}\n", "seeds.yaml: mor: unknown key; did you"),
    ):
        with pytest.raises(AssayError, match=line):
            blocks_of(tmp_path, text)


def test_no_arm_is_called_round():
    """`round-1` would be both its first block and a pruning round."""
    arms = {"round": {"method": "sgd"}}
    with pytest.raises(AssayError, match=r"arms.round: the name is taken by the pipeline itself"):
        parse(config.Params, {**PARAMS.model_dump(exclude_unset=True), "arms": arms}, "params.yaml")
