"""Proposals alone: without a loss, chains are Brownian, and between fixed ends they are Brownian bridges."""

from __future__ import annotations

import pytest
import torch

from assay.methods.trajectory.moves import Places, halves, propose, random_subset
from tests.unit.methods.quadratic import CPU

MOVES = pytest.mark.parametrize(("beta", "fraction"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.3)])


def accept_all(theta, half, sigma, beta, fraction, generator):
    models, moving = half.models, None
    if fraction < 1:
        rows = len(theta) * len(models)
        moving = random_subset(rows, theta.shape[2], fraction, generator).view(len(theta), len(models), -1)
    noise = torch.randn(len(theta), len(models), theta.shape[2], generator=generator)
    theta[:, models] = propose(theta, half, torch.full((len(theta),), sigma), beta, noise, moving)


@MOVES
def test_between_fixed_ends_the_marginals_are_a_brownian_bridge(beta, fraction):
    tau, sigma, chains, generator = 6, 0.7, 1500, torch.Generator().manual_seed(0)
    theta = torch.zeros(chains, tau, 10)
    theta[:, -1] = 2.0
    inner = [Places(torch.arange(first, tau - 1, 2), tau) for first in (1, 2)]
    for _ in range(60 if beta == fraction == 1 else 250):
        for half in inner:
            accept_all(theta, half, sigma, beta, fraction, generator)
    t = torch.arange(tau) / (tau - 1)
    mean, variance = theta.mean((0, 2)), theta.var((0, 2))
    expected = sigma**2 * (tau - 1) * t * (1 - t)
    torch.testing.assert_close(mean, 2 * t, atol=4 * sigma / (10 * chains) ** 0.5, rtol=0)
    torch.testing.assert_close(variance, expected, rtol=0.04, atol=1e-12)


@MOVES
def test_without_bias_increments_stay_gaussian_with_variance_sigma_squared(beta, fraction):
    tau, sigma, chains, generator = 5, 0.3, 2000, torch.Generator().manual_seed(1)
    theta = sigma * torch.randn(chains, tau, 10, generator=generator).cumsum(1)
    for _ in range(30):
        for half in halves(tau, CPU):
            accept_all(theta, half, sigma, beta, fraction, generator)
    increments = theta.diff(dim=1).transpose(1, 2).reshape(-1, tau - 1)
    torch.testing.assert_close(increments.T.cov() / sigma**2, torch.eye(tau - 1), atol=0.05, rtol=0)
    fourth = (increments / sigma).pow(4).mean().item()
    assert fourth == pytest.approx(3, rel=0.05)  # a Gaussian's


def test_a_masked_proposal_moves_exactly_its_share_of_coordinates():
    theta = torch.randn(7, 4, 101)
    moving = random_subset(14, 101, 0.25, torch.Generator().manual_seed(2)).view(7, 2, 101)
    noise = torch.randn(7, 2, 101)
    models = torch.tensor([1, 3])
    proposal = propose(theta, Places(models, 4), torch.ones(7), 1.0, noise, moving)
    changed = proposal != theta[:, models]
    assert torch.equal(changed, moving)
    assert (changed.sum(2) == 25).all()
    assert len({tuple(row) for row in changed.flatten(0, 1).tolist()}) == 14


def test_the_two_halves_are_every_other_model():
    assert [half.models.tolist() for half in halves(5, CPU)] == [[0, 2, 4], [1, 3]]
    assert [half.models.tolist() for half in halves(1, CPU)] == [[0]]


def means(theta, half):
    """What models are drawn around: a proposal without noise."""
    return propose(theta, half, torch.ones(len(theta)), 1.0, torch.zeros_like(theta))


def test_a_lone_model_walks_from_where_it_is():
    theta, (half,) = torch.randn(3, 1, 4), halves(1, CPU)
    assert torch.equal(means(theta, half), theta)
    assert half.deviation.tolist() == [1.0]


def test_ends_have_one_neighbour_and_inner_models_two():
    theta, every = torch.arange(4.0).square().view(1, 4, 1), Places(torch.arange(4), 4)
    assert means(theta, every).flatten().tolist() == [1.0, 2.0, 5.0, 4.0]
    assert every.deviation.tolist() == pytest.approx([1.0, 0.5**0.5, 0.5**0.5, 1.0])
