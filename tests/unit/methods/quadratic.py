"""A target that can be solved: ℓ_i(θ) = ½ Σ_j a_j (θ_j - x_ij)², whose trajectories are Gaussian."""

from __future__ import annotations

import math

import torch

from assay.methods.trajectory.acceptance import Moments, decide
from assay.methods.trajectory.moves import draw, halves, move_models

CURVATURES = torch.tensor([0.5, 1.0, 2.0])
CPU = torch.device("cpu")


class Toy:
    """N examples around a minimum at 0."""

    def __init__(self, examples: int = 20_000, spread: float = 0.6, block: int = 64) -> None:
        self.examples, self.block = examples, block
        self.x = spread * torch.randn(examples, 3, generator=torch.Generator().manual_seed(1))
        self.x -= self.x.mean(0)
        self.generator = torch.Generator().manual_seed(2)

    def pairs(self, old, new):
        return ToyPairs(self, old, new)


class ToyPairs:
    """Losses up to a constant of each example, which no difference sees."""

    def __init__(self, toy: Toy, old, new) -> None:
        self.examples, self.block = toy.examples, toy.block
        self._toy, self._old, self._new = toy, old, new

    def sample(self, tests, counts):
        def change(tests, size):
            x = self._toy.x[torch.randint(self.examples, (len(tests), size), generator=self._toy.generator)]
            old, new = (((t[tests, None] / 2 - x) * t[tests, None]) @ CURVATURES for t in (self._old, self._new))
            return new - old

        return moments(tests, counts, change)

    def whole(self, tests, side):
        loss = ((self._old, self._new)[side][tests].double().square() / 2) @ CURVATURES.double()
        return torch.stack((loss, torch.zeros_like(loss)))


def moments(tests, counts, change) -> Moments:
    """Sums of what `change(tests, size)` gives, `(batch, size)`."""
    sums = torch.zeros(3, len(tests), dtype=torch.float64)
    for size in counts.unique().tolist():
        for part in (counts == size).nonzero()[:, 0].split(max(1, 2**20 // size)):
            delta = change(tests[part], size).double()
            square = delta * delta
            sums[:, part] = torch.stack([each.sum(1) for each in (delta, square, square * delta)])
    return Moments(counts, sums, torch.zeros(len(tests)).double(), torch.zeros(len(tests)).double())


def excess_loss(tau: int, s: float, sigma: float) -> float:
    """⟨L⟩ - L_min of a model, by the spec's closed form."""
    modes = [2 - 2 * math.cos(math.pi * k / tau) for k in range(tau)]
    return sum(a / (s * a + mode / sigma**2) for a in CURVATURES.tolist() for mode in modes) / (2 * tau)


def stationary(chains: int, tau: int, s: float, sigma: float) -> torch.Tensor:
    """Independent draws of the target, (chain, tau, 3)."""
    increments = torch.eye(tau)[1:] - torch.eye(tau)[:-1]
    precision = s * CURVATURES[:, None, None] * torch.eye(tau) + increments.mT @ increments / sigma**2
    root = torch.linalg.cholesky(torch.linalg.inv(precision.double()))
    noise = torch.randn(chains, 3, tau, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return (root @ noise)[..., 0].mT.float().contiguous()


def run(toy: Toy, tau: int, s: float, sigma: float, *, chains=300, sweeps=200, test=decide, beta=1.0, fraction=1.0):
    """Sweep stationary chains; gives the mean loss, its standard error, and the mean batch a test."""
    theta = stationary(chains, tau, s, sigma)
    sigmas = torch.full((chains,), sigma, dtype=torch.float64)
    generator = torch.Generator().manual_seed(4)
    losses, batches, tests = torch.zeros(chains, dtype=torch.float64), 0, 0
    known = torch.full((2, chains, tau), torch.nan, dtype=torch.float64)
    for sweep in range(sweeps):
        for half in halves(tau, CPU):
            models = len(half.models)
            draws = draw([generator], chains * models, 3, fraction, CPU)
            by_chain = [None if each is None else each.view(chains, models, *each.shape[2:]) for each in draws]
            decision = move_models(theta, known, half, sigmas, s, beta, by_chain, toy.pairs, test)
            batches, tests = batches + int(decision.batch.sum()), tests + len(decision.batch)
        if sweep >= sweeps // 2:  # what a wrong test does to a stationary start has had time to show
            losses += ((theta.double().square() / 2) @ CURVATURES.double()).mean(1)
    losses /= sweeps - sweeps // 2
    return losses.mean().item(), losses.std().item() / chains**0.5, batches / tests
