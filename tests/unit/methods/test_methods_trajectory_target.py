"""The sampler against closed forms: a quadratic loss has a Gaussian target, and a wrong test is seen to miss it."""

from __future__ import annotations

import pytest
import torch

from assay.methods.trajectory.acceptance import Decision, decide_exactly
from tests.unit.methods.quadratic import Toy, excess_loss, run

TAU, S, SIGMA = 4, 50.0, 0.3


def test_chains_start_where_they_should_stay():
    result = run(Toy(), TAU, S, SIGMA, chains=4000, sweeps=1)
    assert misses(result, excess_loss(TAU, S, SIGMA)) < 4


def naive(fixed_batch: int):
    """Barker's test on a mini-batch as if its mean were exact: what happens when the noise is ignored."""

    def test(pairs, s, variance, normal, known):
        every = torch.arange(len(variance))
        batch = pairs.sample(every, torch.full_like(every, fixed_batch))
        change = s * batch.change[0] / fixed_batch
        accepted = variance.sqrt() * normal - change > 0
        zero = torch.zeros_like(variance)
        return Decision(accepted, batch.count, every, every, accepted & False, change, *([zero] * 4), *known)

    return test


def misses(result, exact: float) -> float:
    """How many standard errors a run is off."""
    mean, error, _ = result
    return abs(mean - exact) / error


@pytest.mark.parametrize("move", [{}, {"beta": 0.6}, {"fraction": 0.34}], ids=["bridge", "pcn", "masked"])
def test_the_exact_test_samples_the_closed_form(move):
    result = run(Toy(), TAU, S, SIGMA, test=decide_exactly, **move, chains=1000)
    assert misses(result, excess_loss(TAU, S, SIGMA)) < 4
    assert result[1] < 0.01 * excess_loss(TAU, S, SIGMA)  # precise enough to be worth something


def test_the_minibatch_test_samples_it_too_and_one_that_ignores_the_noise_does_not():
    exact = excess_loss(TAU, S, SIGMA)
    mean, error, batch = run(Toy(), TAU, S, SIGMA, chains=600, sweeps=72)
    assert abs(mean - exact) < 4 * error + 0.01 * exact  # blocks of 64 leave a bias of under a percent
    assert error < 0.01 * exact
    assert 3 * 64 <= batch < 400
    ignoring = run(Toy(), TAU, S, SIGMA, test=naive(32), chains=600, sweeps=72)
    assert ignoring[0] - exact > 4 * ignoring[1] + 0.01 * exact  # the same check fails
    assert ignoring[0] > 1.05 * exact


def test_the_mean_batch_does_not_grow_with_the_training_set():
    batches = [run(Toy(examples), TAU, S, SIGMA, chains=300, sweeps=30)[2] for examples in (2_000, 20_000, 200_000)]
    assert max(batches) < 1.1 * min(batches)
    assert 200_000 / batches[-1] > 90 * (2_000 / batches[0])  # the saving N / n̄ grows with N


def s_for(tau: int, loss: float) -> float:
    low, high = 1e-3, 1e5
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if excess_loss(tau, middle, SIGMA) > loss else (low, middle)
    return low


def test_longer_chains_need_a_smaller_s_and_a_smaller_batch_for_the_same_loss():
    loss = 0.02
    biases = [s_for(tau, loss) for tau in (1, 4, 16)]
    assert biases[0] > biases[1] > biases[2]
    toy = Toy(spread=1.5)
    results = [run(toy, t, s, SIGMA, chains=120, sweeps=16) for t, s in zip((1, 4, 16), biases, strict=True)]
    assert [mean for mean, _, _ in results] == pytest.approx([loss] * 3, rel=0.1)
    assert results[0][2] > 1.3 * results[1][2] > 1.69 * results[2][2]


def test_a_block_that_is_too_small_biases():
    exact = excess_loss(TAU, S, SIGMA)
    mean, error, _ = run(Toy(block=2), TAU, S, SIGMA, chains=150, sweeps=60)
    assert mean - exact > 4 * error + 0.01 * exact
