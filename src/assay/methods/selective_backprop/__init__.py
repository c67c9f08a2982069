"""Selective-Backprop: an example is back-propagated with a probability that rises with its loss.

Jiang et al., "Accelerating Deep Learning by Focusing on the Biggest Losers" (arXiv 1910.00762), section 3.2: the
probability is CDF(loss)^beta, where CDF is the distribution of the most recent losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from assay.core.config import Section
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.engine.batches import EpochBatches
from assay.engine.step_rule import GradientUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.batches import Score
    from assay.engine.context import TrainContext

PAPER = {"key": "jiang2019", "topic": "Hard mini-batches", "cited": "Jiang et al. 2019, arXiv 1910.00762"}
CONTRACT_ARMS = {"selective backprop": {"options": {"beta": 1.0, "history": 40}}}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        beta: about 1 in (beta + 1) examples is back-propagated; 0 is ordinary training.
        history: how many of the most recent losses an example is compared with, beside those of its own batch.
    """

    beta: float = Field(default=1.0, ge=0)
    history: int = Field(default=1024, ge=1)


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse batches of one example, which is always back-propagated, with an `AssayError`."""
    if run.train.batch_size < 2:
        raise AssayError(f"{run.place('batch_size')}: of one example, {run.arm} selects none; set it to 2 or more")


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training on the examples that are drawn from each batch."""
    run = context.run
    batches = Selective(context.labels, run.seeds, run.train.batch_size, options.beta, options.history)
    return GradientUpdate(context, batches)


class Selective(EpochBatches):
    """Reshuffled epochs; the loss of a batch is the mean over the examples that were drawn, each copy's own."""

    kept = ("_recent",)

    def __init__(self, labels: Tensor, seeds: Sequence[int], batch_size: int, beta: float, history: int) -> None:
        super().__init__(labels, seeds, batch_size)
        self.beta, self.step = beta, 0
        # a place not yet filled holds infinity, which no loss reaches
        self._recent = torch.full((len(self.seeds), history), torch.inf, device=self.device)

    def select(self, step: int, score: Score) -> Int64[Tensor, "copy batch"]:
        """A batch of the epoch; the step also decides what `weigh` draws."""
        self.step = step
        return super().select(step, score)

    def probabilities(self, losses: Float[Tensor, "copy batch"], copies: slice) -> Float[Tensor, "copy batch"]:
        """CDF(loss)^beta: the share of recent losses, the batch's own included, that are no larger."""
        known = torch.cat([self._recent[copies], losses], 1)
        smaller = (known[:, None, :] <= losses[:, :, None]).sum(2)
        return (smaller / known.isfinite().sum(1, keepdim=True)) ** self.beta

    def weigh(self, losses: Float[Tensor, "copy batch"], copies: slice) -> Float[Tensor, "copy batch"]:
        """Equal coefficients for the examples drawn, 0 for the others; where none is, the hardest stands in."""
        sources = [generator(seed, "selective backprop", self.step) for seed in self.seeds[copies]]
        drawn = torch.stack([torch.rand(losses.shape[1], generator=source) for source in sources]).to(losses.device)
        chosen = drawn < self.probabilities(losses, copies)
        hardest = torch.arange(losses.shape[1], device=losses.device) == losses.argmax(1, keepdim=True)
        chosen = chosen | (hardest & ~chosen.any(1, keepdim=True))
        return chosen / chosen.sum(1, keepdim=True)

    def observe(self, step: int, indices: Tensor, losses: Float[Tensor, "copy batch"]) -> None:  # noqa: ARG002
        """Let the batch's losses take the place of the oldest."""
        self._recent = torch.cat([self._recent, losses], 1)[:, -self._recent.shape[1] :]
