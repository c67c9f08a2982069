"""Loss and accuracy over steps, for every copy: `metrics/curves/<arm>.csv`."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from assay.engine.step_rule import BatchStats

COLUMNS = ("arm", "seed", "step", "split", "loss", "accuracy")
CPU = torch.device("cpu")


class DivergedError(AssayError):
    """A loss is not finite."""


class Copy(NamedTuple):
    """Whose curve a copy of the stack draws: an arm (or `round-<n>/<variant>`) and a seed."""

    arm: str
    seed: int


class Curves:
    """Rows of `COLUMNS`, one for each evaluation, split and copy.

    Means over the training steps since the last evaluation are summed on the device, so that no step waits for it.

    Args:
        copies: the copies of the stack, in its order.
        device: of the training losses.
    """

    def __init__(self, copies: Sequence[Copy], device: torch.device = CPU) -> None:
        self.copies = tuple(copies)
        self.rows: list[tuple[str, int, int, str, float, float]] = []
        self._sums = torch.zeros(2, len(self.copies), dtype=torch.float64, device=device)
        self._steps = 0

    def see(self, stats: BatchStats) -> None:
        """Take what a training step saw into the means."""
        self._sums[0] += stats.losses.mean(1)
        self._sums[1] += stats.correct.float().mean(1)
        self._steps += 1

    def add_train(self, step: int) -> tuple[float, float]:
        """Add a point `train`, the means over the steps since the last one; as `add`."""
        losses, accuracies = (self._sums / max(1, self._steps)).cpu()
        self._sums.zero_()
        self._steps = 0
        return self.add(step, "train", losses, accuracies)

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
            self.rows.append((*copy, step, split, round(loss, 6), round(accuracy, 6)))
        return losses.mean().item(), accuracies.mean().item()

    def best(self, arm: str) -> tuple[list[int], list[float]]:
        """For each copy of an arm, the first step of the least validation loss, and the test accuracy at that step.

        Either list is empty where its split was never evaluated.
        """
        steps, accuracies = [], []
        for copy in self.copies:
            own = [row for row in self.rows if row[:2] == copy and copy.arm == arm]
            losses = [(loss, step) for *_, step, split, loss, _ in own if split == "validation"]
            steps += [min(losses)[1]] if losses else []
            accuracies += [row[5] for row in own if losses and row[2:4] == (steps[-1], "test")]
        return steps, accuracies

    def csv(self) -> str:
        """The table as text."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([COLUMNS, *self.rows])
        return stream.getvalue()

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"rows": [list(row) for row in self.rows], "sums": self._sums, "steps": self._steps}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.rows = [tuple(row) for row in state["rows"]]
        self._sums.copy_(state["sums"])
        self._steps = state["steps"]
