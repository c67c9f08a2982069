"""Ordered SGD: of each mini-batch, only the examples with the largest losses are back-propagated.

Kawaguchi and Lu, "Ordered SGD: A New Stochastic Optimization Framework for Empirical Risk Minimization" (AISTATS 2020,
arXiv 1907.04371), section 3: draw a mini-batch, take the top q of its losses, step along the mean of their gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from assay.core.config import PARAMS_FILE, Section
from assay.core.errors import AssayError
from assay.engine.batches import EpochBatches
from assay.engine.step_rule import GradientUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext

PAPER = {"key": "kawaguchi2020", "topic": "Hard mini-batches", "cited": "Kawaguchi and Lu 2020, AISTATS"}
CONTRACT_ARMS = {"ordered sgd": {"options": {"q": 8}}}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        q: how many examples of each batch are back-propagated; fewer than the batch size.
    """

    q: int = Field(ge=1)


def check(run: Run, options: Options, images: Images, examples: int) -> None:  # noqa: ARG001
    """Refuse a q that takes whole batches, with an `AssayError`."""
    if options.q >= run.train.batch_size:
        raise AssayError(
            f"{PARAMS_FILE}: arms.{run.arm}.q: {options.q} leaves out none of the {run.train.batch_size} examples of a "
            "batch, which is ordinary training; set it lower, or batch_size higher"
        )


def update(context: TrainContext, options: Options) -> GradientUpdate:
    """Gradient training on the hardest examples of each batch."""
    return GradientUpdate(context, TopQ(context.labels, context.run.seeds, context.run.train.batch_size, options.q))


class TopQ(EpochBatches):
    """Reshuffled epochs; the loss of a batch is the mean over its q hardest examples."""

    def __init__(self, labels: Tensor, seeds: Sequence[int], batch_size: int, q: int) -> None:
        super().__init__(labels, seeds, batch_size)
        self.q = q

    def weigh(self, losses: Float[Tensor, "copy batch"], copies: slice) -> Float[Tensor, "copy batch"]:  # noqa: ARG002
        """1/q for the q largest losses (of equal ones, the first), 0 for the others."""
        rank = losses.sort(dim=1, descending=True, stable=True).indices.argsort(1)
        return (rank < self.q).to(losses.dtype) / self.q
