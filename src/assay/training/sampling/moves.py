"""A move of half of each chain: propose, test, keep or go back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from assay.training.sampling.acceptance import mixing_variance
from assay.training.sampling.bridge import propose, random_subset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from assay.training.sampling.acceptance import Decision, Pairs
    from assay.training.sampling.bridge import Move

    MakePairs = Callable[[Float[Tensor, "test d"], Float[Tensor, "test d"]], Pairs]
    Decide = Callable[[Pairs, float, Float64[Tensor, " test"], Float64[Tensor, " test"]], Decision]


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
    moving = None
    if fraction < 1:
        moving = torch.stack([random_subset(models, coordinates, fraction, g) for g in generators]).to(device)
    variance = [mixing_variance(models, g) for g in generators]
    normal = [torch.randn(models, dtype=torch.float64, generator=g) for g in generators]
    stacked = (torch.stack(each).to(device) for each in (noise, variance, normal))
    noises, variances, normals = stacked
    return Draws(noises, moving, variances, normals)


def move_models(
    theta: Float[Tensor, "chain tau d"],
    models: Int64[Tensor, " model"],
    sigma: Float[Tensor, " chain"],
    s: float,
    move: Move,
    draws: Draws,
    make_pairs: MakePairs,
    decide: Decide,
) -> Decision:
    """Propose new values for some models of every chain, test them all at once, and write the accepted ones in place.

    Args:
        theta: the chains; changed in place.
        models: which models, no two of them neighbours.
        sigma: σ of each chain.
        s: the bias towards low loss.
        move: how far a proposal goes.
        draws: what is random.
        make_pairs: from old and new models, `(chain · model, d)`, to what runs them.
        decide: the acceptance test.

    Returns:
        What was decided, `(chain · model,)`.
    """
    old = theta[:, models]
    new = propose(theta, models, sigma, move, draws.noise, draws.moving)
    pairs = make_pairs(old.flatten(0, 1), new.flatten(0, 1))
    decision = decide(pairs, s, draws.variance.flatten(), draws.normal.flatten())
    accepted = decision.accepted.view(len(theta), -1)
    theta[:, models] = torch.where(accepted[..., None], new, old)
    return decision
