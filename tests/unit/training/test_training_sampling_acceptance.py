"""Barker's test on mini-batches: the right probability, the right symmetry, the right bill."""

from __future__ import annotations

import math

import pytest
import torch

from assay.training.sampling.acceptance import Losses, decide, decide_exactly, exponentials, mixing_variance

TESTS = 200_000


class Known:
    """Losses whose change has this mean and deviation; `exact` knows the mean."""

    def __init__(self, change: float, deviation: float, examples: int = 10**9, block: int = 4096) -> None:
        self.change, self.deviation, self.examples, self.block = change, deviation, examples, block
        self.generator = torch.Generator().manual_seed(5)
        self.units = 0

    def sample(self, owners):
        # the mean of a block, all examples of which are then equal but for a pattern that has the right variance
        self.units += len(owners)
        mean = torch.randn(len(owners), 1, dtype=torch.float64, generator=self.generator) / self.block**0.5
        pattern = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(self.block // 2)
        new = self.change + self.deviation * (mean + pattern * (1 - 1 / self.block) ** 0.5)
        return Losses(torch.zeros_like(new), new, torch.zeros_like(new))

    def exact(self, tests):
        change = torch.full((len(tests),), self.change, dtype=torch.float64)
        return Losses(torch.zeros_like(change), change, torch.zeros_like(change))


def draws(count: int):
    generator = torch.Generator().manual_seed(6)
    variance = mixing_variance(exponentials(count, generator))
    return variance, torch.randn(count, dtype=torch.float64, generator=generator)


def accepted(pairs, s: float, count: int = TESTS, test=decide) -> float:
    return test(pairs, s, *draws(count)).accepted.double().mean().item()


def barker(x: float) -> float:
    return 1 / (1 + math.exp(x))


def test_the_mixture_of_normals_is_logistic():
    variance, normal = draws(TESTS)
    noise = variance.sqrt() * normal
    assert variance.mean().item() == pytest.approx(math.pi**2 / 3, rel=0.01)
    assert variance.var().item() == pytest.approx(4 * math.pi**4 / 90, rel=0.05)
    assert variance.min() < 0.6  # small T, for which a batch has to be large, do occur
    for quantile in (0.01, 0.1, 0.25, 0.5, 0.9):
        expected = math.log(quantile / (1 - quantile))
        share = (noise < expected).double().mean().item()
        assert share == pytest.approx(quantile, abs=4 * (quantile * (1 - quantile) / TESTS) ** 0.5)


@pytest.mark.parametrize("change", [-1.5, -0.3, 0.0, 0.8, 2.0])
def test_the_acceptance_is_barkers_and_symmetric_at_known_noise(change):
    s, deviation, count = 2.0, 3.0, 20_000  # v = s² deviation² / n: 0.56 for a first block of 64
    up = accepted(Known(change, deviation, block=64), s, count)
    down = accepted(Known(-change, deviation, block=64), s, count)
    error = 4 * (barker(s * change) * barker(-s * change) / count) ** 0.5
    assert up == pytest.approx(barker(s * change), abs=error)
    symmetry = 4 * (1 / (count * up) + 1 / (count * down)) ** 0.5
    assert math.log(up / down) == pytest.approx(-s * change, abs=symmetry)


@pytest.mark.parametrize("change", [-1.0, 0.5])
def test_the_full_test_is_barkers(change):
    error = 4 * (barker(change) * barker(-change) / TESTS) ** 0.5
    assert accepted(Known(change, 1.0), 1.0, test=decide_exactly) == pytest.approx(barker(change), abs=error)


@pytest.mark.parametrize("test", [decide, decide_exactly])
def test_without_bias_half_of_the_moves_are_accepted(test):
    share = accepted(Known(5.0, 3.0, block=16), 0.0, 20_000, test)
    assert share == pytest.approx(0.5, abs=4 * 0.5 / 20_000**0.5)


def test_batches_grow_in_blocks_until_the_noise_is_small_enough():
    pairs = Known(0.1, 3.0, block=64)
    variance, normal = draws(2_000)
    decision = decide(pairs, 10.0, variance, normal)
    needed = 900.0 / variance
    assert (decision.batch % 64 == 0).all()
    assert (decision.batch >= 0.98 * needed).all()
    assert decision.batch.double().mean() < 1.5 * needed.clamp_min(64).mean()
    assert int(decision.batch.sum()) == 64 * pairs.units
    assert not decision.exact.any()


def test_beyond_the_training_set_the_test_is_exact_and_both_are_billed():
    pairs = Known(0.01, 3.0, examples=500, block=64)
    decision = decide(pairs, 50.0, *draws(2_000))
    assert decision.exact.all()
    assert (decision.batch > 500).all()
    assert int(decision.batch.sum()) == 64 * pairs.units + 500 * 2_000
    share = decision.accepted.double().mean().item()
    assert share == pytest.approx(barker(0.5), abs=4 * 0.5 / 2_000**0.5)


def test_a_block_larger_than_the_training_set_is_no_block():
    pairs = Known(0.1, 1.0, examples=40, block=64)
    decision = decide(pairs, 1.0, *draws(10))
    assert (pairs.units, decision.batch.tolist()) == (0, [40] * 10)
