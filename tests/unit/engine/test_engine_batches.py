"""Samplers: every example once an epoch, a seed's batches its own, and no state that a resumed run would miss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.core.errors import AssayError
from assay.engine.batches import EpochBatches, orders


def no_score(indices, labels):
    raise AssertionError("plain epochs never score")


def epoch(batches: EpochBatches, number: int) -> torch.Tensor:
    first = number * batches.batches_per_epoch
    steps = range(first, first + batches.batches_per_epoch)
    return torch.cat([batches.select(step, no_score) for step in steps], 1)


@given(examples=st.integers(1, 40), batch=st.integers(1, 40), order=st.sampled_from(["reshuffled", "fixed"]))
def test_an_epoch_holds_no_example_twice_and_leaves_out_less_than_a_batch(examples, batch, order):
    labels = torch.arange(examples)
    if batch > examples:
        with pytest.raises(AssayError, match=r"train\.batch_size"):
            EpochBatches(labels, [0], batch, order)
        return
    batches = EpochBatches(labels, [0, 1], batch, order)
    for copy in epoch(batches, 1).tolist():
        assert len(set(copy)) == len(copy) > examples - batch


def test_fixed_batches_repeat_and_reshuffled_ones_do_not():
    labels = torch.zeros(20, dtype=torch.int64)
    fixed, shuffled = (EpochBatches(labels, [0, 1], 5, order) for order in ("fixed", "reshuffled"))
    assert torch.equal(epoch(fixed, 0), epoch(fixed, 3))
    assert torch.equal(epoch(fixed, 0), epoch(shuffled, 0))
    assert not torch.equal(epoch(shuffled, 0), epoch(shuffled, 1))


def test_the_batches_of_an_epoch_in_turn_are_its_seeded_order():
    batches = EpochBatches(torch.zeros(23, dtype=torch.int64), [4, 5], 5)
    assert torch.equal(epoch(batches, 2), orders(23, [4, 5], 2)[:, :20])


def test_a_copy_sees_the_same_alone_and_in_company_and_from_the_middle():
    labels = torch.arange(20) % 3
    together, alone = EpochBatches(labels, [5, 6, 7], 4), EpochBatches(labels, [6], 4)
    for step in (13, 2, 7):
        assert torch.equal(together.select(step, no_score)[1], alone.select(step, no_score)[0])
    assert not torch.equal(together.select(0, no_score)[0], together.select(0, no_score)[1])


def test_labels_are_the_copys_own():
    labels = torch.stack([torch.arange(12), 100 + torch.arange(12)])
    batches = EpochBatches(labels, [0, 1], 4)
    indices = batches.select(2, no_score)
    assert torch.equal(batches.labels(indices), indices + torch.tensor([[0], [100]]))
