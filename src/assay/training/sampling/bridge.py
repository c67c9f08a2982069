"""Proposals of trajectory sampling: each model is drawn anew between its neighbours, as in a Brownian bridge.

Mair, Causer and Garrahan, "Minibatch training of neural network ensembles via trajectory sampling" (arXiv
2306.13442): a trajectory is a chain of models whose increments cost Σ ‖θ_{t+1} - θ_t‖² / 2σ². Given its neighbours, a
model of that reference dynamics is Gaussian, so a proposal drawn from it leaves only the losses to be tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64
    from torch import Tensor


@dataclass(frozen=True)
class Move:
    """How far a proposal goes.

    Attributes:
        fraction: f, the share of coordinates that one proposal moves; the others keep their values.
        beta: β of the step m + √(1 - β²) (θ - m) + β c ξ, in (0, 1]; 1 is the paper's move, which forgets θ.
    """

    fraction: float = 1.0
    beta: float = 1.0


def halves(length: int, device: torch.device) -> list[Int64[Tensor, " model"]]:
    """The models of a chain in two sets, every other one: given the one set, those of the other are independent."""
    return [torch.arange(first, length, 2, device=device) for first in range(min(2, length))]


def conditional(
    theta: Float[Tensor, "chain tau d"], models: Int64[Tensor, " model"]
) -> tuple[Float[Tensor, "chain model d"], Float[Tensor, " model"]]:
    """Mean and deviation (in units of σ) of some models under the reference dynamics, given their neighbours.

    A chain of one model has no neighbour and a flat prior: its mean is where it is.

    Args:
        theta: the chains.
        models: which models, no two of them neighbours.
    """
    last = theta.shape[1] - 1
    left = torch.where(models > 0, models - 1, models + 1).clamp(0, last)
    right = torch.where(models < last, models + 1, models - 1).clamp(0, last)
    mean = (theta[:, left] + theta[:, right]) / 2
    return mean, torch.where((models > 0) & (models < last), 1 / math.sqrt(2), 1.0)


def propose(
    theta: Float[Tensor, "chain tau d"],
    models: Int64[Tensor, " model"],
    sigma: Float[Tensor, " chain"],
    move: Move,
    noise: Float[Tensor, "chain model d"],
    moving: Bool[Tensor, "chain model d"] | None = None,
) -> Float[Tensor, "chain model d"]:
    """New values for some models; reversible under the reference dynamics, so that only the losses enter the test.

    Args:
        theta: the chains.
        models: which models, no two of them neighbours.
        sigma: σ of each chain.
        move: how far to go.
        noise: ξ, standard normal.
        moving: which coordinates move; None moves all.
    """
    mean, deviation = conditional(theta, models)
    step = (move.beta * deviation * sigma[:, None].to(theta.dtype))[..., None] * noise
    if move.beta < 1:
        mean = mean + math.sqrt(1 - move.beta**2) * (theta[:, models] - mean)
    proposal = mean + step
    return proposal if moving is None else torch.where(moving, proposal, theta[:, models])


def random_subset(
    rows: int, coordinates: int, fraction: float, generator: torch.Generator
) -> Bool[Tensor, "row coordinate"]:
    """For each row, a uniformly drawn set of round(f · d) coordinates (at least one)."""
    count = max(1, round(fraction * coordinates))
    order = torch.rand(rows, coordinates, generator=generator).argsort(1)[:, :count]
    return torch.zeros(rows, coordinates, dtype=torch.bool).scatter_(1, order, value=True)
