"""Which blocks `make decide` adds: those of undecided claims alone, the cheapest first, never beyond the time."""

from __future__ import annotations

import pytest

from assay.analysis.claims import ClaimRecord, Forecast
from assay.cli.decide import Deciding, decided, table
from assay.core import config
from assay.core.config.blocks import NO_BLOCKS
from assay.core.config.parsing import parse
from assay.core.config.sections import Tune
from assay.pipeline.plan import Cost

SEEDS = list(range(100, 110))
CLAIM = {"paper": "p", "statement": "s", "metric": "accuracy", "verdict": "better"}
PARAMS = parse(
    config.Params,
    {
        "seeds": SEEDS,
        "data": {"name": "digits", "validation": 100},
        "model": {"name": "mlp", "hidden": [4]},
        "train": {"steps": 5, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 5},
        "arms": {
            "cheap": {"method": "sgd"},
            "dear": {"method": "sgd", "steps": 50},
            "own": {"method": "sgd", "seeds": [1, 2]},
        },
        "lottery": {
            "prune_fraction": 0.2, "scope": "layerwise", "rewind": 0, "controls": [],
            "rounds": {"1": {"after": "baseline"}, "2": {"after": "round-1"}},
        },
        "claims": [
            {**CLAIM, "id": "cheap", "arm": "cheap", "against": "baseline"},
            {**CLAIM, "id": "dear", "arm": "dear", "against": "baseline"},
            {**CLAIM, "id": "round", "arm": "round-2", "against": "baseline"},
            {**CLAIM, "id": "pair", "arm": "dear", "against": "cheap"},
            {**CLAIM, "id": "own", "arm": "own", "against": "baseline"},
        ],
    },
    "params.yaml",
)  # fmt: skip
PER_SEED = {"dear": 60.0}  # seconds; 1 of the others


def cost(run: config.Run) -> Cost:
    return Cost(PER_SEED.get(run.arm, 1.0) * len(run.seeds), measured=False)


def record(claim: str, verdict: str = "undecided", seeds: int | None = 20, **forecast) -> ClaimRecord:
    arms = {one.id: one for one in PARAMS.claims}[claim]
    return ClaimRecord(
        id=claim, paper="p", statement="s", verdict=verdict, seeds=10,
        arm=f"{arms.arm}/last", against=f"{arms.against}/last",
        forecast=Forecast(seeds=seeds, probability=0.6, **forecast),
    )  # fmt: skip


DECIDING = Deciding(PARAMS, cost, jobs=2)


def choose(records, left: float, blocks=NO_BLOCKS):
    chosen, taken = DECIDING.chosen(DECIDING.open(records, blocks), blocks, left)
    new = {name: chosen.seeds[name] for name in chosen.seeds.keys() - blocks.seeds.keys()}
    return new, [one.record.id for one in taken]


def together(records, blocks):
    """seeds.yaml after the next look."""
    return DECIDING.chosen(DECIDING.open(records, blocks), blocks, 1e6)[0]


def test_a_look_takes_the_blocks_that_both_sides_lack():
    blocks, taken = choose([record("cheap")], 1e6)
    assert blocks == dict.fromkeys(("baseline-1", "cheap-1"), tuple(range(110, 120)))
    assert taken == ["cheap"]


def test_a_round_takes_the_chain_that_it_starts_from():
    blocks, _ = choose([record("round")], 1e6)
    assert set(blocks) == {"baseline-1", "round-1-1", "round-2-1"}


def test_what_is_decided_trains_nothing():
    assert choose([record("cheap", "reproduced"), record("dear", "negligible")], 1e6) == ({}, [])


def test_the_next_look_follows_what_is_there_and_the_last_is_the_end():
    two = NO_BLOCKS
    for expected in (range(110, 120), range(120, 140)):
        blocks, _ = choose([record("cheap", seeds=40)], 1e6, two)
        assert set(blocks.values()) == {tuple(expected)}
        two = together([record("cheap", seeds=40)], two)
    (one,) = DECIDING.open([record("cheap")], two)
    assert (one.look, one.have) == (None, 40)
    assert choose([record("cheap")], 1e6, two) == ({}, [])


def test_a_side_that_is_ahead_waits_for_the_other():
    blocks, _ = choose([record("pair")], 1e6, together([record("cheap")], NO_BLOCKS))
    assert set(blocks) == {"dear-1"}


def test_the_cheapest_forecast_comes_first_and_the_hopeless_last():
    records = [record("dear"), record("cheap", seeds=None), record("pair", test_examples=99), record("round", seeds=40)]
    found = DECIDING.open(records, NO_BLOCKS)
    assert [one.record.id for one in found] == ["round", "dear", "cheap", "pair"]


@pytest.mark.parametrize(
    ("left", "taken"),
    [
        (9.9, []),
        (10.0, ["cheap"]),  # 20 s of training, by two
        (500.0, ["cheap"]),  # dear is one block of 600 s
        (1199.0, ["cheap"]),  # more than half of what is left, beside another
        (1240.0, ["cheap", "dear"]),
    ],
)
def test_no_block_is_begun_that_takes_more_than_is_left(left, taken):
    assert choose([record("cheap"), record("dear")], left)[1] == taken


def test_an_arm_with_seeds_of_its_own_is_said_to_stop_there():
    (one,) = DECIDING.open([record("own")], NO_BLOCKS)
    assert one.look is None
    assert one.obstacle == "arms.own.seeds are its own, so none can be added"
    assert choose([record("own")], 1e6) == ({}, [])


def test_arms_that_choose_a_learning_rate_are_said_to_stop_there():
    train = PARAMS.train.model_copy(update={"tune": Tune(lr=(0.1, 0.2))})
    (one,) = Deciding(PARAMS.model_copy(update={"train": train}), cost, jobs=2).open([record("cheap")], NO_BLOCKS)
    assert one.look is None
    assert "`tune`" in one.obstacle


def test_the_table_says_seeds_now_and_needed_chance_and_time():
    records = [record("cheap", seeds=40), record("dear", seeds=None), record("pair", test_examples=50_000)]
    lines = table(DECIDING.open(records, NO_BLOCKS)).splitlines()
    assert [line.split()[0] for line in lines] == ["claim", "cheap", "pair", "dear"]
    assert " 60% at 40 seeds " in lines[1]
    assert lines[1].endswith("  10 s to the next look, 30 s in all")
    assert "60%; needs a test set of 50,000" in lines[2]
    assert "60% at the last look" in lines[3]


def test_what_was_decided_is_told():
    before = {"cheap": "undecided", "dear": "reproduced", "round": "undecided"}
    after = [record("cheap", "refuted"), record("dear", "reproduced"), record("round")]
    assert decided(before, after) == ["cheap: refuted at 10 seeds"]
