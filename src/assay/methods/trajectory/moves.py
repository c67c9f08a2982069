"""Moves of a chain: models are drawn anew between their neighbours, tested, and kept or not.

Mair, Causer and Garrahan (arXiv 2306.13442): a trajectory is a chain of models whose increments cost
Σ ‖θ_{t+1} - θ_t‖² / 2σ². Given its neighbours, a model of that reference dynamics is Gaussian (a Brownian bridge), so a
proposal drawn from it leaves only the losses to be tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from assay.core.runtime import generator
from assay.methods.trajectory.acceptance import mixing_variance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from assay.methods.trajectory.acceptance import Decision
    from assay.methods.trajectory.networks import NetworkPairs

    MakePairs = Callable[[Float[Tensor, "test d"], Float[Tensor, "test d"]], NetworkPairs]
    Decide = Callable[
        [NetworkPairs, float, Float64[Tensor, " test"], Float64[Tensor, " test"], Float64[Tensor, "2 test"]], Decision
    ]


@dataclass(frozen=True)
class Places:
    """Some models of a chain, no two of them neighbours, and what the reference dynamics says of them.

    Attributes:
        models: their numbers.
        left: of each, the neighbour before it; of the first model, the one after it.
        right: of each, the neighbour after it; of the last model, the one before it.
        deviation: of each, given its neighbours, in units of σ.
    """

    models: Int64[Tensor, " model"]
    left: Int64[Tensor, " model"]
    right: Int64[Tensor, " model"]
    deviation: Float[Tensor, " model"]


def places(models: Int64[Tensor, " model"], length: int) -> Places:
    """Look up the neighbours of models; in a chain of one, a model is its own."""
    last = length - 1
    left = torch.where(models > 0, models - 1, models + 1).clamp(0, last)
    right = torch.where(models < last, models + 1, models - 1).clamp(0, last)
    return Places(models, left, right, torch.where(left == right, 1.0, 1 / math.sqrt(2)))


def halves(length: int, device: torch.device) -> list[Places]:
    """The models of a chain in two sets, every other one: given the one set, those of the other are independent."""
    return [places(torch.arange(first, length, 2, device=device), length) for first in range(min(2, length))]


@dataclass(frozen=True)
class Draws:
    """All that is random in a move, mini-batches apart.

    Attributes:
        noise: ξ of the proposals.
        moving: which coordinates move; None for all.
        variance: T of the tests.
        normal: ξ of the tests.
    """

    noise: Float[Tensor, "chain model d"]
    moving: Bool[Tensor, "chain model d"] | None
    variance: Float64[Tensor, "chain model"]
    normal: Float64[Tensor, "chain model"]


def draw(
    generators: Sequence[torch.Generator], models: int, coordinates: int, fraction: float, device: torch.device
) -> Draws:
    """Draw for each chain from its own (CPU) generator, so that a chain draws the same alone as in company."""
    noise = [torch.randn(models, coordinates, generator=g) for g in generators]
    moving = [random_subset(models, coordinates, fraction, g) for g in generators] if fraction < 1 else None
    variance = [mixing_variance(models, g) for g in generators]
    normal = [torch.randn(models, dtype=torch.float64, generator=g) for g in generators]

    def stacked(rows: list[Tensor]) -> Tensor:
        return torch.stack(rows).to(device)

    return Draws(stacked(noise), moving and stacked(moving), stacked(variance), stacked(normal))


def random_subset(
    rows: int, coordinates: int, fraction: float, source: torch.Generator
) -> Bool[Tensor, "row coordinate"]:
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

    Args:
        theta: the chains; changed in place.
        known: loss and accuracy of each model over all examples, NaN where not known; changed in place.
        half: which models.
        sigma: σ of each chain.
        s: the bias towards low loss.
        beta: β, of `propose`.
        draws: what is random.
        make_pairs: from old and new models, `(chain · model, d)`, to what runs them.
        decide: the acceptance test.

    Returns:
        What was decided, `(chain · model,)`.
    """
    old = theta.index_select(1, half.models)
    new = propose(theta, half, sigma, beta, draws.noise, draws.moving)
    pairs = make_pairs(old.flatten(0, 1), new.flatten(0, 1))
    before = known.index_select(2, half.models).flatten(1)
    decision = decide(pairs, s, draws.variance.flatten(), draws.normal.flatten(), before)
    accepted = decision.accepted.view(len(theta), -1)
    theta.index_copy_(1, half.models, torch.where(accepted[..., None], new, old))
    kept = torch.stack((decision.kept_loss, decision.kept_correct))
    known.index_copy_(2, half.models, kept.view(2, len(theta), -1))
    return decision


def starting_chains(
    networks: Float[Tensor, "chain d"], seeds: Sequence[int], tau: int, sigma: float, how: Literal["copies", "walk"]
) -> Float[Tensor, "chain tau d"]:
    """Chains that begin at these networks: as `copies`, or as a `walk` θ_{t+1} = θ_t + σ ξ (the authors' code)."""
    chains = networks[:, None].repeat(1, tau, 1)
    if how == "walk":
        shape = (tau - 1, networks.shape[1])
        steps = torch.stack([torch.randn(shape, generator=generator(seed, "trajectory start")) for seed in seeds])
        chains[:, 1:] += sigma * steps.cumsum(1).to(chains)
    return chains
