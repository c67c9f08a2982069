"""How the bias s rises while burning in, and how σ is steered until samples are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float64
    from torch import Tensor

    from assay.methods.trajectory.acceptance import Decision

TESTS_A_LOOK = 100  # of each chain, between two looks
GAIN, MOST_CHANGE = 0.2, 0.2  # of log σ at a look
LOGISTIC = 1.7**2  # variance of the normal that is closest to a logistic


@dataclass(frozen=True)
class Annealing:
    """The bias s of each sweep: geometric from `start` to `end` over the `sweeps` of the burn-in, then constant."""

    start: float
    end: float
    sweeps: int

    def at(self, sweep: int) -> float:
        """The bias of a sweep, from 0."""
        if sweep >= self.sweeps or self.start == self.end:
            return self.end
        return self.start * math.pow(self.end / self.start, sweep / self.sweeps)


class Steering:
    """σ of each chain, moved to where a test is worth most while burning in; frozen afterwards.

    What a forward sample is worth is the mobility of a chain, σ² E[p (1 - p)] with p the probability of acceptance,
    over the samples that a test takes. For a test on all examples it is greatest at the acceptance of 0.158 that is
    optimal for Barker's rule (Agrawal et al. 2023, arXiv 2104.02020). A mini-batch grows as σ² beyond its pilots, so
    its best σ is smaller: where the batch is about the scale of the gradient noise (McCandlish et al. 2018, arXiv
    1812.06162).

    Args:
        sigma: the first σ, the same for all chains.
        chains: C.
        tau: tests of a chain in a sweep.
        steer: whether σ moves at all.
        device: where the chains are.
    """

    def __init__(self, sigma: float, chains: int, tau: int, device: torch.device, *, steer: bool) -> None:
        self.sigma: Float64[Tensor, " chain"] = torch.full((chains,), sigma, dtype=torch.float64, device=device)
        self._steer = steer
        self._every = max(1, round(TESTS_A_LOOK / tau))
        self._sums = torch.zeros(4, chains, dtype=torch.float64, device=device)
        self._tests = self._every * tau

    def observe(self, sweep: int, decision: Decision) -> None:
        """See the tests of a sweep of the burn-in, `(chain, model)`."""
        if not self._steer:
            return
        square = decision.change.square() - decision.variance
        rows = (decision.change, square, 2 * decision.growing.double(), decision.forward.double())
        self._sums += torch.stack([row.sum(1) for row in rows])
        if (sweep + 1) % self._every == 0:
            factors = []
            for change, of_square, growing, forward in self._sums.T.tolist():
                mean = change / self._tests
                slope = mobility_slope(mean, of_square / self._tests - mean**2) - 2 * growing / forward
                factors.append(math.exp(max(-MOST_CHANGE, min(MOST_CHANGE, GAIN * slope))))
            self.sigma *= torch.tensor(factors, dtype=torch.float64, device=self.sigma.device)
            self._sums.zero_()


def mobility_slope(mean: float, variance: float) -> float:
    """Slope of log mobility over log σ, with the logistic noise of Barker's rule as a normal one of variance 1.7².

    Then E[p (1 - p)] is in proportion to exp(-m² / 2A) / √A, A = 1.7² + v. Mean m and variance v of s ΔL over tests
    grow as σ².
    """
    v = max(variance, 0.0)
    a = LOGISTIC + v
    return 2 - v / a - 2 * mean**2 / a + mean**2 * v / a**2
