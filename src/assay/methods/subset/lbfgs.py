"""Full-batch L-BFGS for the first steps of a training: the gradient of a subset, unlike a mini-batch's, is exact.

Liu and Nocedal, "On the Limited Memory BFGS Method for Large Scale Optimization" (1989), in PyTorch's implementation
with a strong Wolfe line search. An extension: the paper on subset pretraining (arXiv 2410.16523) motivates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from assay.engine.stack import Stack
from assay.engine.step_rule import BatchStats, StepWrapper

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor

    from assay.engine.step_rule import GradientUpdate

ROWS = 1024  # examples in one pass, so that memory does not grow with the subset
RUNS = 26  # of the subset in an iteration: the first, and the 25 that the line search may take


class LbfgsPhase(StepWrapper):
    """Each copy walks by L-BFGS on its own subset for a while; then the inner update goes on from there.

    A step is one iteration. The line search decides how often it runs the whole subset, and every run is billed.
    Each copy has its own optimizer, since an inner product over a whole stack would tie the copies together.

    Args:
        inner: what follows; its stored weights are moved in place.
        subset: each copy's positions in the training set; its images are not augmented.
        until: how many steps L-BFGS takes.
    """

    def __init__(self, inner: GradientUpdate, subset: Int64[Tensor, "copy subset"], until: int) -> None:
        super().__init__(inner)
        self._subset, self._until, self._loader = subset, until, inner.loader
        self._labels = inner.batches.labels(subset)
        self._alone = Stack(inner.network, 1, subset.device, inner.train.precision)
        # views, so that the optimizers write into the stack itself
        self._weights = [
            {name: tensor.detach()[copy] for name, tensor in inner.stored.items()} for copy in range(len(subset))
        ]
        self._optimizers = [
            torch.optim.LBFGS(list(weights.values()), max_iter=1, max_eval=RUNS, line_search_fn="strong_wolfe")
            for weights in self._weights
        ]

    def step(self, step: int) -> BatchStats:
        """One iteration of every copy, or the inner update's step."""
        if step >= self._until:
            self._optimizers = []  # what they remember is of no more use, and large in a checkpoint
            return super().step(step)
        seen, runs = zip(*(self._iterate(copy) for copy in range(len(self._subset))), strict=True)
        self.counters.add("train_samples", self._subset.shape[1] * torch.tensor(runs, device=self._subset.device))
        self.counters.add("optimizer_steps", 1)
        return BatchStats(torch.cat([each.losses for each in seen]), torch.cat([each.correct for each in seen]))

    def _iterate(self, copy: int) -> tuple[BatchStats, int]:
        """What a copy saw before it moved, and how often it ran its subset in order to move."""
        runs: list[BatchStats] = []

        def closure() -> float:
            runs.append(self._run(copy))
            return runs[-1].losses.double().mean().item()

        self._optimizers[copy].step(closure)
        return runs[0], len(runs)

    def _run(self, copy: int) -> BatchStats:
        """Run a copy's whole subset and leave the exact gradient with its weights."""
        weights = self._weights[copy]
        stacked = {name: tensor[None] for name, tensor in weights.items()}
        positions, labels = self._subset[copy : copy + 1].split(ROWS, 1), self._labels[copy : copy + 1].split(ROWS, 1)
        sums = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
        parts = []
        for part, own in zip(positions, labels, strict=True):
            parts.append(self._alone.gradients(stacked, {}, self._loader.batch(part, None), own))
            for name, tensor in sums.items():
                tensor.add_(parts[-1].by_name.pop(name)[0], alpha=own.shape[1] / self._labels.shape[1])
        for name, tensor in weights.items():
            tensor.grad = sums[name]
        return BatchStats(torch.cat([part.losses for part in parts], 1), torch.cat([part.correct for part in parts], 1))

    def state(self) -> dict[str, Any]:
        """The inner update's, and the curvature that each copy has gathered."""
        return {**super().state(), "lbfgs": [optimizer.state_dict() for optimizer in self._optimizers]}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the inner update's state, and the curvature of each copy."""
        super().restore(state)
        self._optimizers = self._optimizers[: len(state["lbfgs"])]
        for optimizer, own in zip(self._optimizers, state["lbfgs"], strict=True):
            optimizer.load_state_dict(own)
