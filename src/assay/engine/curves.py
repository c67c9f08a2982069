"""Loss and accuracy over steps, for every copy: `metrics/curves/<arm>.csv`."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from assay.engine.step_rule import BatchStats


class DivergedError(AssayError):
    """A loss is not finite."""


COLUMNS = ("arm", "seed", "step", "split", "loss", "accuracy")


@dataclass(frozen=True)
class Copy:
    """Whose curve a copy of the stack draws: an arm (or `round-<n>/<variant>`) and a seed."""

    arm: str
    seed: int


class Curves:
    """Rows of `COLUMNS`, one for each evaluation, split and copy.

    Args:
        copies: the copies of the stack, in its order.
    """

    def __init__(self, copies: Sequence[Copy]) -> None:
        self.copies = tuple(copies)
        self.rows: list[tuple[str, int, int, str, float, float]] = []

    def add(
        self, step: int, split: str, losses: Float[Tensor, " copy"], accuracies: Float[Tensor, " copy"]
    ) -> tuple[float, float]:
        """Add a point for each copy; gives the means over copies.

        Raises:
            DivergedError: a loss is not finite: the training diverged.
        """
        for copy, loss, accuracy in zip(self.copies, losses.tolist(), accuracies.tolist(), strict=True):
            if not loss < float("inf"):
                raise DivergedError(
                    f"{copy.arm}: the {split} loss of seed {copy.seed} is {loss} at step {step}: the training "
                    "diverged; lower the optimizer's lr, or give its schedule warmup_steps"
                )
            self.rows.append((copy.arm, copy.seed, step, split, round(loss, 6), round(accuracy, 6)))
        return losses.mean().item(), accuracies.mean().item()

    def best_steps(self, split: str = "validation") -> list[int]:
        """For each copy, the first step of the least loss; empty where the split was never evaluated."""
        best: dict[tuple[str, int], tuple[float, int]] = {}
        for arm, seed, step, row_split, loss, _ in self.rows:
            if row_split == split:
                best[arm, seed] = min(best.get((arm, seed), (loss, step)), (loss, step))
        return [best[copy.arm, copy.seed][1] for copy in self.copies] if best else []

    def accuracies_at(self, steps: Sequence[int], split: str) -> list[float]:
        """For each copy, the accuracy at its step in `steps`; empty where there is no step, or no look at the split."""
        found = {(arm, seed, step): accuracy for arm, seed, step, of, _, accuracy in self.rows if of == split}
        if not found or not steps:
            return []
        return [found[copy.arm, copy.seed, step] for copy, step in zip(self.copies, steps, strict=True)]

    def csv(self) -> str:
        """The table as text."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(self.rows)
        return stream.getvalue()


class Running:
    """Means over the steps since the last evaluation, summed on the device so that no step waits for it.

    Args:
        copies: R.
        device: of the losses.
    """

    def __init__(self, copies: int, device: torch.device) -> None:
        self._sums = torch.zeros(2, copies, dtype=torch.float64, device=device)
        self._steps = 0

    def add(self, seen: BatchStats) -> None:
        """Add what a step saw."""
        self._sums[0] += seen.losses.mean(1)
        self._sums[1] += seen.correct.float().mean(1)
        self._steps += 1

    def take(self) -> tuple[Float[Tensor, " copy"], Float[Tensor, " copy"]]:
        """Mean loss and accuracy of each copy; then begin anew."""
        means = (self._sums / max(1, self._steps)).cpu()
        self._sums.zero_()
        self._steps = 0
        return means[0], means[1]

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": self._sums, "steps": self._steps}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self._sums.copy_(state["sums"])
        self._steps = state["steps"]
