"""Barker's test on mini-batches: the right probability, the right symmetry, the right bill."""

from __future__ import annotations

import math

import pytest
import torch

from assay.methods.trajectory.acceptance import (
    Decision,
    batch_size,
    decide,
    decide_exactly,
    mixing_variance,
)
from tests.unit.methods.quadratic import moments

TESTS = 200_000


class Known:
    """Losses whose change has this mean, deviation and kind of distribution; all examples together have the mean."""

    def __init__(
        self, change: float, deviation: float, examples: int = 10**9, block: int = 128, kind: str = "normal"
    ) -> None:
        self.change, self.deviation, self.examples, self.block = change, deviation, examples, block
        self.generator, self.draw = torch.Generator().manual_seed(5), SLOPES[kind]
        self.seen, self.run_whole = 0, [0, 0]

    def sample(self, tests, counts):
        self.seen += int(counts.sum())
        return moments(
            tests,
            counts,
            lambda part, size: self.change + self.deviation * self.draw(torch.empty(len(part), size), self.generator),
        )

    def whole(self, tests, side):
        self.run_whole[side] += len(tests)
        return torch.full((2, len(tests)), self.change * side, dtype=torch.float64)


SLOPES = {  # of mean 0 and variance 1
    "normal": lambda x, generator: x.normal_(generator=generator),
    "exponential": lambda x, generator: x.exponential_(generator=generator) - 1,
    "lognormal": lambda x, generator: (
        (x.normal_(generator=generator).exp_() - math.e**0.5) / (math.e**2 - math.e) ** 0.5
    ),
}


def draws(count: int):
    generator = torch.Generator().manual_seed(6)
    variance = mixing_variance(count, generator)
    return variance, torch.randn(count, dtype=torch.float64, generator=generator)


def unknown(count: int):
    return torch.full((2, count), torch.nan, dtype=torch.float64)


def accepted(pairs, s: float, count: int = TESTS, test=decide) -> float:
    return test(pairs, s, *draws(count), unknown(count)).accepted.double().mean().item()


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
    s, deviation, count = 2.0, 8.0, 20_000  # v = s² deviation² / n: 4 for a batch of 64, more than T
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


def stopping(pairs, s, variance, normal, known):
    """A batch that grows until its own variance is small, and whose mean then decides: what biases."""
    every = torch.arange(len(variance))
    batch = pairs.sample(every, torch.full_like(every, pairs.block))
    sums, n = batch.change[:2].clone(), batch.count.clone()
    while True:
        noise = s**2 * (sums[1] - sums[0] ** 2 / n) / (n - 1) / n
        short = (noise > variance).nonzero()[:, 0]
        if not len(short):
            break
        blocks = ((1.05 * noise[short] / variance[short] - 1) * n[short] / pairs.block).ceil().clamp(1, 3).long()
        more = pairs.sample(short, blocks * pairs.block)
        sums[:, short] += more.change[:2]
        n[short] += more.count
    change = s * sums[0] / n
    took = (variance - noise).clamp_min(0).sqrt() * normal > change
    return Decision(took, n, n, n, took & False, change, noise, *([0 * change] * 3), *known)


def occupation(kind: str, test) -> float:
    """z of the share of a double well's right half that chains of one occupy: 1/2, whatever slopes the examples have.

    The loss of an example is (θ² - 1)² / 2 + a θ, with slopes a whose mean is 0.
    """
    chains, sweeps, s = 1_000, 20, 2.0
    generator = torch.Generator().manual_seed(7)
    theta = torch.ones(chains).double()
    theta[::2] = -1
    right = torch.zeros(chains).double()
    for _ in range(sweeps):
        step = torch.randn(chains, dtype=torch.float64, generator=generator)
        pairs = Wells(theta, theta + step, kind, generator)
        variance = mixing_variance(chains, generator)
        normal = torch.randn(chains, dtype=torch.float64, generator=generator)
        decision = test(pairs, s, variance, normal, unknown(chains))
        theta = torch.where(decision.accepted, theta + step, theta)
        right += theta > 0
    share = right / sweeps
    return ((share.mean() - 0.5) / (share.std() / chains**0.5)).item()


class Wells:
    """The examples of `occupation`, of which there is no end."""

    examples, block = 10**9, 128

    def __init__(self, old, new, kind: str, generator) -> None:
        self.sides, self.kind, self.generator = (old, new), SLOPES[kind], generator

    def sample(self, tests, counts):
        def change(part, size):
            well = self.whole(part, 1)[0] - self.whole(part, 0)[0]
            slopes = 12 * self.kind(torch.empty(len(part), size), self.generator)
            old, new = (side[part, None] for side in self.sides)
            return well[:, None] + slopes * (new - old)

        return moments(tests, counts, change)

    def whole(self, tests, side):
        return ((self.sides[side][tests] ** 2 - 1) ** 2 / 2).expand(2, -1)


@pytest.mark.parametrize("kind", SLOPES)
def test_skewed_losses_do_not_pull_a_chain_aside(kind):
    assert abs(occupation(kind, decide)) < 3.5
    if kind == "lognormal":
        assert abs(occupation(kind, stopping)) > 4  # the same look sees the bias of a test that stops by itself


@pytest.mark.parametrize("change", [-1.5, 0.0, 1.5])
@pytest.mark.parametrize(("kind", "bias"), [("normal", 0), ("exponential", 0), ("lognormal", 0.008)])
def test_the_acceptance_is_barkers_where_losses_are_skewed(kind, bias, change):
    count = 8_000
    share = accepted(Known(change, 20.0, kind=kind), 1.0, count)
    error = (barker(change) * barker(-change) / count) ** 0.5
    assert share == pytest.approx(barker(change), abs=bias + 3.5 * error)
    if kind == "lognormal":
        wrong = accepted(Known(change, 20.0, kind=kind), 1.0, count, stopping)
        assert wrong > barker(change) + bias + 3.5 * error


def test_skewness_is_told():
    found = [decide(Known(0.0, 20.0, kind=kind), 1.0, *draws(500), unknown(500)) for kind in SLOPES]
    normal, exponential, lognormal = (each.skewness.mean().item() for each in found)
    assert normal < 0.015 < exponential < lognormal


def test_a_batch_is_as_large_as_its_noise_asks_for():
    pairs = Known(0.1, 3.0, block=64)
    variance, normal = draws(2_000)
    decision = decide(pairs, 10.0, variance, normal, unknown(2_000))
    batch, needed = decision.batch - 2 * 64, (900.0 / variance).clamp_min(64)
    assert (batch % 64 == 0).all()
    assert (batch >= needed).double().mean() > 0.95
    assert 1.25 < (batch / needed).mean() < 1.6
    assert int(decision.batch.sum()) == pairs.seen
    assert torch.equal(decision.forward, 2 * decision.batch)
    assert torch.equal(decision.growing, batch * (batch > 64))
    assert (decision.variance < variance).all()
    assert not decision.exact.any()


def test_there_are_few_batch_sizes():
    needed = torch.arange(1.0, 40_000.0).double()
    sizes = batch_size(needed, 10)
    assert (sizes >= needed).all()
    assert (sizes[1000:] <= 1.125 * needed[1000:] + 10).all()
    assert len(sizes.unique()) < 100
    assert batch_size(torch.tensor([torch.nan, torch.inf]).double(), 10).min() > 10**9


def test_beyond_the_training_set_the_test_is_exact_and_both_are_billed():
    pairs = Known(0.01, 3.0, examples=500, block=64)
    known = unknown(2_000)
    known[:, :1_500] = 0.0
    decision = decide(pairs, 50.0, *draws(2_000), known)
    assert decision.exact.all()
    assert (decision.batch == 2 * 64 + 500).all()
    assert pairs.run_whole == [500, 2_000]  # the old model only where its loss is not known
    assert int(decision.forward.sum()) == 2 * pairs.seen + 500 * 2_500
    share = decision.accepted.double().mean().item()
    assert share == pytest.approx(barker(0.5), abs=4 * 0.5 / 2_000**0.5)


@pytest.mark.parametrize("test", [decide, decide_exactly])
def test_what_is_known_of_a_model_is_of_the_one_that_stays(test):
    pairs = Known(0.5, 3.0, block=64)
    known = torch.full((2, 1_000), 7.0).double()
    decision = test(pairs, 1.0, *draws(1_000), known)
    new = 0.5 if test is decide_exactly else math.nan  # a mini-batch does not tell the loss of the new model
    expected = torch.where(decision.accepted, new, 7.0)
    assert torch.equal(decision.kept_loss.nan_to_num(-1), expected.nan_to_num(-1))
    assert torch.equal(decision.kept_correct.isnan(), expected.isnan())


def test_pilots_larger_than_the_training_set_are_none():
    pairs = Known(0.1, 1.0, examples=190, block=64)
    decision = decide(pairs, 1.0, *draws(10), unknown(10))
    assert (pairs.seen, decision.batch.tolist()) == (0, [190] * 10)
    assert decision.forward.tolist() == [380] * 10
