"""Where chains start: from one network each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from assay.foundation.runtime import generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


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
