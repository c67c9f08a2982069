"""Hard batches: the invariants of the method, and what its controls change and leave."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay import methods
from assay.core.errors import AssayError
from assay.engine.batches import EpochBatches
from assay.engine.context import TrainContext
from assay.methods.hard_batches import HardBatches, Options

SEEDS = (3, 4)
LABELS = torch.arange(45) % 4


def no_score(indices, labels):
    raise AssertionError("only fresh losses are scored for")


def drive(batches, steps, losses_of, score=no_score):
    """Walk through the steps as the loop does; gives the numbers of the batches visited, (step, copy)."""
    visited = []
    for step in range(steps):
        indices = batches.select(step, score)
        visited.append(batches._now.clone())
        batches.observe(step, indices, losses_of(step, batches._now))
    return torch.stack(visited)


def random_losses(step, now):
    """Of each example in the batches, a fixed function of the step."""
    return torch.rand(len(now), 5, generator=torch.Generator().manual_seed(step))


@given(
    delta=st.floats(0.01, 1),
    examples=st.integers(5, 60),
    steps=st.integers(1, 60),
    selection=st.sampled_from(["hardest", "random"]),
)
def test_every_batch_comes_once_and_every_complete_round_has_as_many_as_it_should(delta, examples, steps, selection):
    batches = HardBatches(torch.zeros(examples, dtype=torch.int64), SEEDS, 5, delta, selection)
    count, per_round = examples // 5, max(1, int(delta * (examples // 5)))
    visited = drive(batches, steps, random_losses)
    assert int(batches.visits.sum()) == steps * len(SEEDS)
    for copy in visited.mT.tolist():
        assert copy[:count] == list(range(min(count, steps)))
        later = copy[count:]
        rounds = [later[start : start + per_round] for start in range(0, len(later), per_round)]
        for chosen in rounds:
            assert chosen == sorted(set(chosen))
        assert all(len(chosen) == per_round for chosen in rounds[:-1])


def test_a_round_visits_the_batches_of_the_largest_recorded_losses_and_of_equal_ones_the_first():
    batches = HardBatches(LABELS, SEEDS, 5, 0.5)
    first = torch.tensor([[1.0, 7, 3, 7, 2, 7, 7, 0, 7], [9, 8, 7, 6, 5, 4, 3, 2, 1]])
    visited = drive(batches, 13, lambda step, now: first.gather(1, now[:, None]).expand(-1, 5))
    assert visited[9:].mT.tolist() == [[1, 3, 5, 6], [0, 1, 2, 3]]


def test_losses_that_are_not_visited_stay_as_they_were():
    batches = HardBatches(LABELS, SEEDS, 5, 0.3)
    drive(batches, 9, random_losses)
    for step in range(9, 20):
        before, visits = batches.losses.clone(), batches.visits.clone()
        indices = batches.select(step, no_score)
        losses = random_losses(step, batches._now)
        batches.observe(step, indices, losses)
        moved = torch.zeros_like(before, dtype=torch.bool)
        moved[[0, 1], batches._now] = True
        assert torch.equal(batches.losses[moved], losses.mean(1))
        assert torch.equal(batches.losses[~moved], before[~moved])
        assert torch.equal(batches.visits, visits + moved)


def test_all_of_the_batches_are_the_cyclic_baseline_bit_for_bit(make_run, data):
    hard, cyclic = (
        methods.make_update(TrainContext(make_run(method=method, options=options), data))
        for method, options in (("hard_batches", {"delta": 1.0}), ("sgd", {"batches": "fixed"}))
    )
    for step in range(15):
        seen, expected = hard.step(step), cyclic.step(step)
        assert torch.equal(seen.losses, expected.losses)
    for name, tensor in cyclic.evaluated().items():
        assert torch.equal(hard.evaluated()[name], tensor)


def test_batches_are_those_of_the_fixed_baseline_whatever_the_share():
    hard, fixed = HardBatches(LABELS, SEEDS, 5, 0.2), EpochBatches(LABELS, SEEDS, 5, "fixed")
    for step in range(9):
        indices = hard.select(step, no_score)
        assert torch.equal(indices, fixed.select(step, no_score))
        hard.observe(step, indices, random_losses(step, hard._now))
    all_of_them = {tuple(row) for step in range(9) for row in fixed.select(step, no_score).tolist()}
    for step in range(9, 30):
        indices = hard.select(step, no_score)
        assert all_of_them >= {tuple(row) for row in indices.tolist()}
        hard.observe(step, indices, random_losses(step, hard._now))


def test_each_copy_selects_its_own_and_the_same_alone():
    together, alone = HardBatches(LABELS, SEEDS, 5, 0.4, "random"), HardBatches(LABELS, SEEDS[1:], 5, 0.4, "random")
    both, one = drive(together, 30, random_losses), drive(alone, 30, random_losses)
    assert torch.equal(both[:, 1:], one)
    assert not torch.equal(both[:, :1], one)


def test_random_rounds_look_at_no_loss():
    one, other = (HardBatches(LABELS, SEEDS, 5, 0.4, "random") for _ in range(2))
    assert torch.equal(drive(one, 30, random_losses), drive(other, 30, lambda step, now: torch.zeros(2, 5)))


def test_fresh_losses_are_scored_once_a_round_and_billed(make_run, data):
    """96 examples in 6 batches: at steps 6, 9 and 12 all 96 are scored, by the weights of then."""
    run = make_run(method="hard_batches", options={"delta": 0.5, "selection": "fresh"})
    update = methods.make_update(TrainContext(run, data))
    billed = []
    for step in range(14):
        if step == 9:
            everything = update.batches._batches.flatten(1)
            expected = update._score(everything, update.batches.labels(everything)).view(3, 6, 16).mean(2)
            chosen = expected.sort(dim=1, descending=True, stable=True).indices[:, :3].sort(1).values
        update.step(step)
        billed.append(update.counters.cost().forward_samples)
        if step == 9:
            assert torch.equal(update.batches._round, chosen)
    assert billed == [0] * 6 + [96] * 3 + [288] * 3 + [384] * 2  # the test's own look costs 96
    assert update.counters.cost().train_samples == 14 * 16


def test_stale_and_random_selection_bill_nothing_but_steps(make_run, data):
    for selection in ("hardest", "random"):
        update = methods.make_update(
            TrainContext(make_run(method="hard_batches", options={"selection": selection}), data)
        )
        for step in range(14):
            update.step(step)
        cost = update.counters.cost()
        assert (cost.train_samples, cost.forward_samples, cost.optimizer_steps) == (14 * 16, 0, 14)


def test_the_record_says_how_often_and_how_stale():
    batches = HardBatches(LABELS, SEEDS, 5, 0.5)
    losses = torch.tensor([[9.0, 8, 0, 0, 0, 0, 0, 7, 6], [0, 0, 0, 0, 0, 4, 3, 2, 1]])
    drive(batches, 9 + 4 + 2, lambda step, now: losses.gather(1, now[:, None]).expand(-1, 5))
    record = batches.record()["hard_batches"]
    assert record["first_selection_among_the_earliest"] == [0.5, 0.0]
    assert record["by_chance"] == pytest.approx(4 / 9, abs=1e-6)
    assert (record["batches"], record["batches_per_round"], record["rounds"]) == (9, 4, 2)
    assert record["batches_by_visits"] == [{"1": 5, "2": 2, "3": 2}] * 2
    json.dumps(record, allow_nan=False)


def test_a_training_that_ends_in_the_first_epoch_records_no_selection():
    batches = HardBatches(LABELS, SEEDS, 5, 0.5)
    drive(batches, 7, random_losses)
    record = batches.record()["hard_batches"]
    assert (record["rounds"], record["first_selection_among_the_earliest"]) == (0, [])
    assert record["batches_by_visits"] == [{"0": 2, "1": 7}] * 2


@pytest.mark.parametrize("delta", [0, -0.5, 1.01, float("nan"), "half", True])
def test_a_share_outside_its_range_is_refused_by_name(make_run, delta):
    run = make_run(method="hard_batches", options={"delta": delta})
    with pytest.raises(AssayError, match=r"params\.yaml: arms\.probe\.delta: got "):
        methods.resolve(run)


def test_the_share_of_the_paper_is_the_default():
    assert Options() == Options(delta=0.5, selection="hardest")
    assert Options(delta=1).delta == 1
