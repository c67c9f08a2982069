"""Costs, counted and not guessed: what each copy of a stack was shown, and how often it moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from assay.models.artifact import Cost

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor

KINDS = ("train_samples", "forward_samples", "optimizer_steps")


class Counters:
    """Three counts for each copy. What all copies share is a number, the rest is on the device: counting never waits.

    Args:
        copies: R.
        device: where the counts live.
    """

    def __init__(self, copies: int, device: torch.device) -> None:
        self._shared = dict.fromkeys(KINDS, 0)
        self._own = {kind: torch.zeros(copies, dtype=torch.int64, device=device) for kind in KINDS}

    def add(self, kind: str, amount: int | Int64[Tensor, " copy"]) -> None:
        """Add an amount, the same for all copies or one for each."""
        if isinstance(amount, int):
            self._shared[kind] += amount
        else:
            self._own[kind] += amount

    def of(self, kind: str) -> Int64[Tensor, " copy"]:
        """The count of each copy."""
        return self._own[kind] + self._shared[kind]

    def cost(self, members: int = 1) -> Cost:
        """The mean over copies, times the members that make up one prediction."""
        totals = {kind: members * int(self.of(kind).sum()) for kind in KINDS}
        copies = len(self._own[KINDS[0]])
        return Cost(
            **{kind: total // copies if total % copies == 0 else total / copies for kind, total in totals.items()}
        )

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {kind: self.of(kind) for kind in KINDS}

    def restore(self, state: dict[str, Tensor]) -> None:
        """From a checkpoint."""
        self._shared = dict.fromkeys(KINDS, 0)
        for kind, count in self._own.items():
            count.copy_(state[kind])
