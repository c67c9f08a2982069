"""What a stack begins with: fresh networks, each of its own seed, and the seed that layers draw from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from assay.core.runtime import key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    Weights = dict[str, Tensor]


def initialise(
    build: Callable[[], nn.Module], seeds: Sequence[int], device: torch.device
) -> tuple[nn.Module, Weights, Weights]:
    """One fresh network for each seed, stacked: the plain module, its parameters and its buffers `(copy, *shape)`.

    Each network is what `build` makes right after `torch.manual_seed`, so it depends on its own seed alone.
    """
    networks = []
    for seed in seeds:
        with seeded(key(seed, "initial weights"), torch.device("cpu")):
            networks.append(build())
    parameters = _stacked([dict(network.named_parameters()) for network in networks], device)
    buffers = _stacked([dict(network.named_buffers()) for network in networks], device)
    return networks[0].to(device), parameters, buffers


def _stacked(states: Sequence[Mapping[str, Tensor]], device: torch.device) -> Weights:
    return {name: torch.stack([state[name].detach() for state in states]).to(device) for name in states[0]}


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from this seed inside; the random numbers of the world outside stay as they were."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
