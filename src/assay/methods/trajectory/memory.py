"""Whether a chain has forgotten where its sampling began: what a flat mean loss needs to mean anything.

A chain that hardly moves has a flat loss too. So the losses of fixed training examples are taken when sampling begins,
half-way and at the end. Their mean squared displacement grows with time while a chain wanders off, and no longer once
it has mixed: D(whole) / D(half) - 1 is the correlation that is left after half of the sampling phase in the second
case, and 1 in the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Float64
    from torch import Tensor

PROBED = 256


class Memory:
    """Displacement of the losses of fixed examples.

    Args:
        first: the sweep with which sampling begins.
        sweeps: how many there are, burn-in included.
        shape: of the losses: chains, models, examples.
        device: where the chains are.

    Attributes:
        examples: how many are probed, the first ones.
    """

    def __init__(self, first: int, sweeps: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self.examples = shape[2]
        self._first, self._middle = first, first + (sweeps - first + 1) // 2
        self._start = torch.zeros(shape, device=device)
        self._half = torch.zeros(shape[0], dtype=torch.float64, device=device)

    def observe(self, sweep: int, losses: Callable[[], Float[Tensor, "chain model example"]]) -> None:
        """See the networks before a sweep; their losses are asked for at two sweeps only."""
        if sweep == self._first:
            self._start.copy_(losses())
        elif sweep == self._middle:
            self._half.copy_(self._displacement(losses()))

    def of(self, losses: Float[Tensor, "chain model example"]) -> Float64[Tensor, " chain"]:
        """How much each chain remembers, by the losses at the end; all, 1, where nothing had moved half-way."""
        return torch.where(self._half > 0, self._displacement(losses) / self._half - 1, 1.0)

    def _displacement(self, losses: Float[Tensor, "chain model example"]) -> Float64[Tensor, " chain"]:
        squares = (losses - self._start).double().square().flatten(1)
        return torch.stack([chain.mean() for chain in squares])  # one by one: the same bits in any company

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"start": self._start, "half": self._half}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._start.copy_(state["start"])
        self._half.copy_(state["half"])
