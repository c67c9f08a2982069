"""Proposals of trajectory sampling: each model is drawn anew between its neighbours, as in a Brownian bridge.

Mair, Causer and Garrahan, "Minibatch training of neural network ensembles via trajectory sampling" (arXiv
2306.13442): a trajectory is a chain of models whose increments cost Σ ‖θ_{t+1} - θ_t‖² / 2σ². Given its neighbours, a
model of that reference dynamics is Gaussian, so a proposal drawn from it leaves only the losses to be tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from assay.core.runtime import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def propose(
    theta: Float[Tensor, "chain tau d"],
    half: Places,
    sigma: Float[Tensor, " chain"],
    move: Move,
    noise: Float[Tensor, "chain model d"],
    moving: Bool[Tensor, "chain model d"] | None = None,
) -> Float[Tensor, "chain model d"]:
    """New values for some models; reversible under the reference dynamics, so that only the losses enter the test.

    Args:
        theta: the chains.
        half: which models.
        sigma: σ of each chain.
        move: how far to go.
        noise: ξ, standard normal.
        moving: which coordinates move; None moves all.
    """
    mean = (theta.index_select(1, half.left) + theta.index_select(1, half.right)) / 2
    step = (move.beta * half.deviation * sigma[:, None].to(theta.dtype))[..., None] * noise
    if move.beta < 1:
        mean = mean + math.sqrt(1 - move.beta**2) * (theta[:, half.models] - mean)
    proposal = mean + step
    return proposal if moving is None else torch.where(moving, proposal, theta[:, half.models])


def random_subset(
    rows: int, coordinates: int, fraction: float, source: torch.Generator
) -> Bool[Tensor, "row coordinate"]:
    """For each row, a uniformly drawn set of round(f · d) coordinates (at least one)."""
    count = max(1, round(fraction * coordinates))
    order = torch.rand(rows, coordinates, generator=source).argsort(1)[:, :count]
    return torch.zeros(rows, coordinates, dtype=torch.bool).scatter_(1, order, value=True)


def starting_chains(
    networks: Float[Tensor, "chain d"], seeds: Sequence[int], tau: int, sigma: float, how: Literal["copies", "walk"]
) -> Float[Tensor, "chain tau d"]:
    """Chains of tau models that begin at these networks.

    Args:
        networks: coordinates of one network a chain.
        seeds: one for each chain.
        tau: models in a chain.
        sigma: σ of the walk.
        how: `copies` of the network, which spread as they move, or a random `walk` θ_{t+1} = θ_t + σ ξ, a draw of the
            reference dynamics, as Mair, Causer and Garrahan start (arXiv 2306.13442, their code).
    """
    chains = networks[:, None].repeat(1, tau, 1)
    if how == "walk":
        shape = (tau - 1, networks.shape[1])
        steps = torch.stack([torch.randn(shape, generator=generator(seed, "trajectory start")) for seed in seeds])
        chains[:, 1:] += sigma * steps.cumsum(1).to(chains)
    return chains
