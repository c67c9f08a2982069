"""A move of half of each chain: propose, test, keep or go back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from assay.methods.trajectory.acceptance import exponentials, mixing_variance
from assay.methods.trajectory.proposals import propose, random_subset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float, Float64
    from torch import Tensor

    from assay.methods.trajectory.acceptance import Decision, Pairs
    from assay.methods.trajectory.proposals import Move, Places

    MakePairs = Callable[[Float[Tensor, "test d"], Float[Tensor, "test d"]], Pairs]
    Decide = Callable[
        [Pairs, float, Float64[Tensor, " test"], Float64[Tensor, " test"], Float64[Tensor, "2 test"]], Decision
    ]


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
    variance = torch.stack([mixing_variance(exponentials(models, g)) for g in generators])
    normal = [torch.randn(models, dtype=torch.float64, generator=g) for g in generators]
    return Draws(torch.stack(noise).to(device), moving, variance.to(device), torch.stack(normal).to(device))


def move_models(
    theta: Float[Tensor, "chain tau d"],
    known: Float64[Tensor, "2 chain tau"],
    half: Places,
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
        known: loss and accuracy of each model over all examples, NaN where not known; changed in place.
        half: which models.
        sigma: σ of each chain.
        s: the bias towards low loss.
        move: how far a proposal goes.
        draws: what is random.
        make_pairs: from old and new models, `(chain · model, d)`, to what runs them.
        decide: the acceptance test.

    Returns:
        What was decided, `(chain · model,)`.
    """
    old = theta.index_select(1, half.models)
    new = propose(theta, half, sigma, move, draws.noise, draws.moving)
    pairs = make_pairs(old.flatten(0, 1), new.flatten(0, 1))
    before = known.index_select(2, half.models).flatten(1)
    decision = decide(pairs, s, draws.variance.flatten(), draws.normal.flatten(), before)
    accepted = decision.accepted.view(len(theta), -1)
    theta.index_copy_(1, half.models, torch.where(accepted[..., None], new, old))
    kept = torch.stack((decision.kept_loss, decision.kept_correct))
    known.index_copy_(2, half.models, kept.view(2, len(theta), -1))
    return decision
