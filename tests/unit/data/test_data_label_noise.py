"""Label noise: how many labels change, to what, and on whose word."""

from __future__ import annotations

import torch

from assay.data.sets.augment import noisy
from assay.engine.context import TrainContext

LABELS = torch.arange(10).repeat(1000)


def test_the_share_gets_uniform_classes_their_own_included():
    changed = noisy(LABELS, 0.4, 10, seed=0) != LABELS
    assert abs(changed.float().mean() - 0.4 * 0.9) < 0.02
    assert torch.equal(LABELS, torch.arange(10).repeat(1000))


def test_the_ends():
    assert torch.equal(noisy(LABELS, 0.0, 10, seed=0), LABELS)
    everything = noisy(LABELS, 1.0, 10, seed=0)
    assert abs((everything == LABELS).float().mean() - 0.1) < 0.02
    assert everything.bincount().min() > 800


def test_a_larger_share_changes_what_a_smaller_one_does():
    small, large = (noisy(LABELS, share, 10, seed=3) for share in (0.2, 0.4))
    assert torch.equal(large[small != LABELS], small[small != LABELS])


def test_seeds_differ_and_repeat():
    assert torch.equal(noisy(LABELS, 0.4, 10, seed=1), noisy(LABELS, 0.4, 10, seed=1))
    assert not torch.equal(noisy(LABELS, 0.4, 10, seed=1), noisy(LABELS, 0.4, 10, seed=2))


def test_each_copy_learns_its_own_noise_alone_and_in_company(make_run, data):
    together = TrainContext(make_run(label_noise=0.5), data).labels
    alone = TrainContext(make_run(label_noise=0.5, seeds=(1,)), data).labels
    assert together.shape == (3, len(data.train.labels))
    assert torch.equal(together[1], alone[0])
    assert torch.equal(TrainContext(make_run(), data).labels, data.train.labels)
