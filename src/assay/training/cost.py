"""Costs, counted and not guessed: what each copy of a stack was shown, and how often it moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from assay.artifact import Cost

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor

KINDS = ("train_samples", "forward_samples", "optimizer_steps")


class Counters:
    """Three counts for each copy, kept on the device so that counting never waits for it.

    Args:
        copies: R.
        device: where the counts live.
    """

    def __init__(self, copies: int, device: torch.device) -> None:
        self._counts = {kind: torch.zeros(copies, dtype=torch.int64, device=device) for kind in KINDS}

    def add(self, kind: str, amount: int | Int64[Tensor, " copy"]) -> None:
        """Add an amount, the same for all copies or one for each."""
        self._counts[kind] += amount

    def cost(self, members: int = 1) -> Cost:
        """The mean over copies, times the members that make up one prediction."""
        totals = {kind: members * int(count.sum()) for kind, count in self._counts.items()}
        copies = len(next(iter(self._counts.values())))
        return Cost(
            **{kind: total // copies if total % copies == 0 else total / copies for kind, total in totals.items()}
        )

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return dict(self._counts)

    def restore(self, state: dict[str, Tensor]) -> None:
        """From a checkpoint."""
        for kind, count in self._counts.items():
            count.copy_(state[kind])
