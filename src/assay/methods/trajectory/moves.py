"""Moves of a chain: models are drawn anew between their neighbours and tested; and the schedule of s and σ.

Given its neighbours, a model of the reference dynamics (the chain without its losses) is Gaussian, a Brownian bridge.
So a proposal drawn from it leaves only the losses to be tested (Mair, Causer and Garrahan, arXiv 2306.13442).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from assay.engine.checkpoint import Stateful
from assay.methods.trajectory.acceptance import mixing_variance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from assay.methods.trajectory.acceptance import Decision
    from assay.methods.trajectory.pairs import NetworkPairs

    Draws = tuple[Tensor, Tensor | None, Tensor, Tensor]
    MakePairs = Callable[[Float[Tensor, "test d"], Float[Tensor, "test d"]], NetworkPairs]
    Decide = Callable[[NetworkPairs, float, Tensor, Tensor, Tensor], Decision]  # as `acceptance.decide`

TESTS_A_LOOK = 100  # of each chain, between two looks
GAIN, MOST_CHANGE = 0.2, 0.2  # of log σ at a look
LOGISTIC = 1.7**2  # variance of the normal that is closest to a logistic


class Places:
    """Some models of a chain, no two of them neighbours, by number, and what the reference dynamics says of them."""

    def __init__(self, models: Int64[Tensor, " model"], length: int) -> None:
        self.models, last = models, length - 1
        # the neighbours; an end has the same one twice, and a lone model is its own
        self.left = torch.where(models > 0, models - 1, models + 1).clamp(0, last)
        self.right = torch.where(models < last, models + 1, models - 1).clamp(0, last)
        self.deviation = torch.where(self.left == self.right, 1.0, 1 / math.sqrt(2))  # in units of σ, given these


def halves(length: int, device: torch.device) -> list[Places]:
    """The models of a chain in two sets, every other one: given the one set, those of the other are independent."""
    return [Places(torch.arange(first, length, 2, device=device), length) for first in range(min(2, length))]


def draw(
    generators: Sequence[torch.Generator], models: int, coordinates: int, fraction: float, device: torch.device
) -> Draws:
    """Draw all that is random in a move, for each chain from its own (CPU) generator, whatever the others are.

    Returns:
        ξ of the proposals `(chain, model, d)`, which of their coordinates move (None for all), and T and ξ of the tests
        `(chain, model)`.
    """

    def each(own: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([own(source) for source in generators]).to(device)

    noise = each(lambda source: torch.randn(models, coordinates, generator=source))
    moving = each(lambda source: random_subset(models, coordinates, fraction, source)) if fraction < 1 else None
    variance = each(lambda source: mixing_variance(models, source))
    normal = each(lambda source: torch.randn(models, dtype=torch.float64, generator=source))
    return noise, moving, variance, normal


def random_subset(rows: int, coordinates: int, fraction: float, source: torch.Generator) -> Bool[Tensor, "row d"]:
    """For each row, a uniformly drawn set of round(f · d) coordinates (at least one)."""
    count = max(1, round(fraction * coordinates))
    order = torch.rand(rows, coordinates, generator=source).argsort(1)[:, :count]
    return torch.zeros(rows, coordinates, dtype=torch.bool).scatter_(1, order, value=True)


def propose(
    theta: Float[Tensor, "chain tau d"],
    half: Places,
    sigma: Float[Tensor, " chain"],
    beta: float,
    noise: Float[Tensor, "chain model d"],
    moving: Bool[Tensor, "chain model d"] | None = None,
) -> Float[Tensor, "chain model d"]:
    """New values m + √(1 - β²) (θ - m) + β c ξ, reversible under the reference dynamics; β = 1 is the paper's move.

    m and c are a model's mean and deviation given its neighbours. Coordinates that are not `moving` keep their values.
    """
    mean = (theta.index_select(1, half.left) + theta.index_select(1, half.right)) / 2
    step = (beta * half.deviation * sigma[:, None].to(theta.dtype))[..., None] * noise
    if beta < 1:
        mean = mean + math.sqrt(1 - beta**2) * (theta[:, half.models] - mean)
    proposal = mean + step
    return proposal if moving is None else torch.where(moving, proposal, theta[:, half.models])


def move_models(
    theta: Float[Tensor, "chain tau d"],
    known: Float64[Tensor, "2 chain tau"],
    half: Places,
    sigma: Float[Tensor, " chain"],
    s: float,
    beta: float,
    draws: Draws,
    make_pairs: MakePairs,
    decide: Decide,
) -> Decision:
    """Propose new values for some models of every chain, test them all at once, and write the accepted ones in place.

    Loss and accuracy of each model over all examples are `known`, or NaN, and changed in place too. `make_pairs` turns
    old and new models `(chain · model, d)` into what runs them; what `decide` found is `(chain · model,)`.
    """
    noise, moving, variance, normal = draws
    old, new = theta.index_select(1, half.models), propose(theta, half, sigma, beta, noise, moving)
    pairs = make_pairs(old.flatten(0, 1), new.flatten(0, 1))
    before = known.index_select(2, half.models).flatten(1)
    decision = decide(pairs, s, variance.flatten(), normal.flatten(), before)
    accepted = decision.accepted.view(len(theta), -1)
    theta.index_copy_(1, half.models, torch.where(accepted[..., None], new, old))
    kept = torch.stack((decision.kept_loss, decision.kept_correct))
    known.index_copy_(2, half.models, kept.view(2, len(theta), -1))
    return decision


def annealed(start: float, end: float, burn_in: int, sweep: int) -> float:
    """The bias s of a sweep, from 0: geometric from `start` to `end` over the sweeps of the burn-in, then constant."""
    if sweep >= burn_in or start == end:
        return end
    return start * math.pow(end / start, sweep / burn_in)


class Steering(Stateful):
    """σ of each chain, at first the same, moved to where a forward sample is worth most in the burn-in, then frozen.

    Its worth is the mobility of a chain, σ² E[p (1 - p)] with p the probability of acceptance, over the samples of a
    test. A full test has its best at an acceptance of 0.158 (Agrawal et al. 2023, arXiv 2104.02020), a mini-batch,
    which grows as σ², about the scale of the gradient noise (McCandlish et al. 2018, arXiv 1812.06162).
    """

    kept = ("sigma", "_sums")

    def __init__(self, sigma: float, chains: int, tau: int, device: torch.device, *, steer: bool) -> None:
        self.sigma: Float64[Tensor, " chain"] = torch.full((chains,), sigma, dtype=torch.float64, device=device)
        self._steer, self._every = steer, max(1, round(TESTS_A_LOOK / tau))
        self._sums, self._tests = torch.zeros(4, chains, dtype=torch.float64, device=device), self._every * tau

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
    """Slope of log mobility over log σ, where the mean m and variance v of s ΔL over tests grow as σ².

    E[p (1 - p)] is in proportion to exp(-m² / 2A) / √A, A = 1.7² + v: logistic noise taken as normal.
    """
    v = max(variance, 0.0)
    a = LOGISTIC + v
    return 2 - v / a - 2 * mean**2 / a + mean**2 * v / a**2
