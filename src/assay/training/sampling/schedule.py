"""How the bias s rises while burning in, and how σ is steered until samples are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64
    from torch import Tensor

TESTS_A_LOOK = 160  # of each chain, between two looks at its batches
LEAST_ACCEPTANCE = 0.3


@dataclass(frozen=True)
class Annealing:
    """The bias s of each sweep: geometric from `start` to `end` over the burn-in, then constant.

    Attributes:
        start: s of the first sweep.
        end: s of the samples.
        sweeps: of the burn-in.
    """

    start: float
    end: float
    sweeps: int

    def at(self, sweep: int) -> float:
        """The bias of a sweep, from 0."""
        if sweep >= self.sweeps or self.start == self.end:
            return self.end
        return self.start * math.pow(self.end / self.start, sweep / self.sweeps)


class Steering:
    """σ of each chain, moved towards a mean batch a test while burning in; frozen afterwards.

    A mini-batch test needs n ∝ s²σ² examples, so a fixed σ under a rising s would explode the batch. A chain whose
    tests fail too often gets a smaller σ in any case.

    Args:
        sigma: the first σ, the same for all chains.
        chains: C.
        tau: tests of a chain in a sweep.
        target: the mean batch to steer for; None keeps σ.
        device: where the chains are.
    """

    def __init__(self, sigma: float, chains: int, tau: int, target: float | None, device: torch.device) -> None:
        self.sigma: Float64[Tensor, " chain"] = torch.full((chains,), sigma, dtype=torch.float64, device=device)
        self._target = target
        self._every = max(1, round(TESTS_A_LOOK / tau))
        self._tests = self._every * tau
        self._sums = torch.zeros(2, chains, dtype=torch.float64, device=device)

    def observe(self, sweep: int, batches: Int64[Tensor, " chain"], accepted: Int64[Tensor, " chain"]) -> None:
        """See a sweep of the burn-in: for each chain, the sum of its tests' batches and how many of them accepted."""
        if self._target is None:
            return
        self._sums += torch.stack([batches, accepted])
        if (sweep + 1) % self._every == 0:
            mean_batch, acceptance = self._sums / self._tests
            self.sigma *= (self._target / mean_batch).pow(0.25).clamp(0.9, 1.1)
            self.sigma *= torch.where(acceptance < LEAST_ACCEPTANCE, 0.95, 1.0)
            self._sums.zero_()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sigma": self.sigma, "sums": self._sums}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.sigma.copy_(state["sigma"])
        self._sums.copy_(state["sums"])
