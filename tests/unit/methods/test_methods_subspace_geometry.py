"""The mathematics of subspaces: points, the chain rule, and what holds endpoints apart, each against its definition."""

from __future__ import annotations

import pytest
import torch

from assay.core.runtime import generator
from assay.methods import subspace


@pytest.fixture
def endpoints():
    drawn = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, *shape, generator=drawn) for shape in ((4, 5), (6,), (2, 3, 3, 3))]


def rows(coefficients, copies=2):
    return coefficients.float().expand(copies, -1)


@pytest.mark.parametrize(("shape", "ends"), [("line", (0, 1)), ("curve", (0, 1))])
def test_the_ends_of_a_path_are_the_endpoints_to_the_last_bit(endpoints, shape, ends):
    for alpha, end in zip((0.0, 1.0), ends, strict=True):
        coefficients = subspace.along(shape, torch.tensor(alpha, dtype=torch.float64))
        for tensor in endpoints:
            used = tensor[:, : len(coefficients)]
            assert torch.equal(subspace.mix(used, rows(coefficients)), used[:, end])


def test_a_curve_is_the_quadratic_bezier_curve():
    """De Casteljau's construction: a line between points on two lines, from the first end by the bend to the other."""
    first, last, bend = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for alpha in torch.linspace(0, 1, 6, dtype=torch.float64):
        there, back = torch.lerp(first, bend, alpha), torch.lerp(bend, last, alpha)
        coefficients = subspace.along("curve", alpha)
        torch.testing.assert_close(coefficients @ torch.stack([first, last, bend]), torch.lerp(there, back, alpha))


@pytest.mark.parametrize("shape", ["line", "curve", "simplex"])
def test_equal_endpoints_give_the_same_network_everywhere(shape):
    count = {"line": 2, "curve": 3, "simplex": 4}[shape]
    tensor = torch.randn(2, 1, 4, 5).expand(2, count, 4, 5)
    for coefficients in subspace.draw(shape, count, 8, generator(0, "probe")):
        torch.testing.assert_close(subspace.mix(tensor, rows(coefficients)), tensor[:, 0])


def test_a_simplex_of_two_is_the_line():
    drawn = subspace.draw("simplex", 2, 20_000, generator(0, "probe"))
    torch.testing.assert_close(drawn, subspace.along("line", drawn[:, 1]))
    alpha, _ = drawn[:, 1].sort()  # and its alpha is uniform: Kolmogorov's distance, whose 99.9 % point is 1.95 / √n
    assert (alpha - torch.linspace(0, 1, len(alpha), dtype=torch.float64)).abs().max() < 1.95 / len(alpha) ** 0.5


def test_points_of_a_simplex_are_dirichlet_of_ones():
    drawn = subspace.draw("simplex", 3, 20_000, generator(0, "probe"))
    assert drawn.min() >= 0
    torch.testing.assert_close(drawn.sum(1), torch.ones(len(drawn), dtype=torch.float64))
    torch.testing.assert_close(drawn.mean(0), torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.01, rtol=0)
    expected = (torch.eye(3, dtype=torch.float64) - 1 / 3) / 12  # covariance of Dirichlet(1, 1, 1)
    torch.testing.assert_close(torch.cov(drawn.T), expected, atol=0.003, rtol=0)


def test_the_chain_rule_is_that_of_autograd(endpoints):
    for tensor in endpoints:
        leaf = tensor.clone().requires_grad_()
        coefficients = torch.rand(2, 3)
        gradient = torch.randn(2, *tensor.shape[2:])
        subspace.mix(leaf, coefficients).backward(gradient)
        torch.testing.assert_close(subspace.spread(gradient, coefficients), leaf.grad)


def cosine_squared(tensors, copy, i, j):
    """The definition: all tensors of an endpoint as one vector."""
    one, other = (torch.cat([tensor[copy, end].flatten() for tensor in tensors]) for end in (i, j))
    return (one @ other) ** 2 / (one @ one * (other @ other))


def test_the_regulariser_pulls_as_autograd_says(endpoints):
    leaves = [tensor.double().requires_grad_() for tensor in endpoints]
    pairs = torch.zeros(2, 3, 3, dtype=torch.float64)
    for copy, (i, j) in enumerate([(0, 2), (1, 2)]):
        pairs[copy, i, j] = pairs[copy, j, i] = 1
        (1.7 * cosine_squared(leaves, copy, i, j)).backward()
    inner = subspace.products(tensor.detach() for tensor in leaves)
    pull = subspace.cosine_gradient(inner, pairs, beta=1.7)
    for tensor in leaves:
        torch.testing.assert_close((pull @ tensor.detach().flatten(2)).view_as(tensor), tensor.grad)
    for i in range(3):
        for j in range(3):
            torch.testing.assert_close(subspace.squared_cosines(inner)[0, i, j], cosine_squared(leaves, 0, i, j))


def test_the_regulariser_is_one_for_coinciding_endpoints_small_for_fresh_ones_and_blind_to_scale():
    fresh = torch.randn(1, 2, 300, 100, generator=torch.Generator().manual_seed(0))
    small = subspace.squared_cosines(subspace.products([fresh]))[0, 0, 1]
    assert small < 1e-3
    scaled = fresh * torch.tensor([3.0, 0.2]).view(1, 2, 1, 1)
    torch.testing.assert_close(subspace.squared_cosines(subspace.products([scaled]))[0, 0, 1], small, rtol=1e-3, atol=0)
    same = torch.stack([fresh[:, 0], 2.5 * fresh[:, 0]], 1)
    torch.testing.assert_close(subspace.squared_cosines(subspace.products([same]))[0], torch.ones(2, 2))
    pairs = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    pull = subspace.cosine_gradient(subspace.products([same]), pairs, 1.0) @ same.flatten(2)
    assert pull.abs().max() < 1e-6  # at its maximum, so there is no way up or down
