"""Deep ensembles: networks trained independently, whose predictions are averaged.

Lakshminarayanan, Pritzel, Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles"
(NeurIPS 2017, arXiv 1612.01474), without its adversarial examples, as Wortsman et al. (arXiv 2102.10472) use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from assay.core.config import Section
from assay.core.runtime import key
from assay.engine.batches import EpochBatches
from assay.engine.stack import BatchStats
from assay.engine.step_rule import GradientUpdate, Outcome

if TYPE_CHECKING:
    from assay.core.config import Run
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights

PAPER = {
    "key": "lakshminarayanan2017",
    "topic": "Deep ensembles",
    "cited": "Lakshminarayanan, Pritzel, Blundell 2017, NeurIPS",
}
CONTRACT_ARMS = {"deep ensemble": {"label_noise": 0.2}}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        members: networks a seed. There is a variant for each number of them from 2 up to this.
        combine: how their predictions become one: the mean of their probabilities, or of their logits.
    """

    members: int = Field(default=3, ge=2)
    combine: Literal["mean_probability", "mean_logit"] = "mean_probability"


def variants(options: Options) -> dict[str, int]:
    """`members_<M>`, then the ensembles of fewer."""
    return {f"members_{count}": count for count in range(options.members, 1, -1)}


def record_keys(run: Run, options: Options) -> tuple[str, ...]:  # noqa: ARG001
    """How many trainings each variant took."""
    return tuple(f"trainings.{name}" for name in variants(options))


class DeepEnsemble(GradientUpdate):
    """A stack in which `members` consecutive copies, each with its own start and order of examples, belong to one seed.

    The first member is the baseline's network of the same seed, bit for bit. Members share their seed's label noise.
    """

    def __init__(self, context: TrainContext, options: Options) -> None:
        count, labels, others = options.members, context.labels, range(1, options.members)
        seeds = [own for seed in context.run.seeds for own in (seed, *(key(seed, "member", k) for k in others))]
        labels = labels if labels.dim() == 1 else labels.repeat_interleave(count, 0)
        super().__init__(context, EpochBatches(labels, seeds, context.run.train.batch_size), seeds=seeds)
        self._options = options

    def step(self, step: int) -> BatchStats:
        """Move every member once; what a seed saw are the batches of all its members."""
        seen = super().step(step)
        rows = self._options.members * seen.losses.shape[1]
        return BatchStats(seen.losses.reshape(-1, rows), seen.correct.reshape(-1, rows))

    def evaluated(self) -> Weights:
        """Each seed's first member."""
        return {name: tensor[:: self._options.members] for name, tensor in super().evaluated().items()}

    def variants(self) -> dict[str, Outcome]:
        """`members_<M>`, then the ensembles of fewer, billed for the members that they have."""
        weights, members = super().variants()["last"].weights, self._options.members
        by_seed = {name: tensor.squeeze(1).unflatten(0, (-1, members)) for name, tensor in weights.items()}
        return {
            variant: Outcome({n: t[:, :count] for n, t in by_seed.items()}, self._options.combine, copies=count)
            for variant, count in variants(self._options).items()
        }

    def record(self) -> dict[str, Any]:
        """How many trainings each variant took."""
        return {"trainings": variants(self._options)}


update = DeepEnsemble
