"""The second and third seams: from what is stored, which weights run, and what is kept beside the last ones?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.engine.batches import Seam
from assay.models.artifact import Cost

if TYPE_CHECKING:
    from assay.engine.stack import Weights
    from assay.models.artifact import Combine, Sweep


@dataclass(frozen=True)
class Outcome:
    """One variant as training leaves it.

    Attributes:
        weights: parameters and buffers, `(seed, member, *shape)`.
        combine: how its members are combined.
        density: the share of weights that is not pruned.
        copies: how many copies of the stack it took to train one seed's members; its cost is theirs.
        masks: 0 or 1 for each pruned parameter, `(seed, member, *shape)`.
        prior_cost: what it cost beside this training: earlier ones it could not do without, a pass for batch norm.
    """

    weights: Weights
    combine: Combine = "mean_probability"
    density: float = 1.0
    copies: int = 1
    masks: Weights | None = None
    prior_cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Swept:
    """A path of networks as training leaves it, to be evaluated point by point."""

    sweep: Sweep
    buffers: Weights
    points: Weights | None = None


class Parametrisation:
    """What is stored, `(copy, *stored shape)`, is what runs, `(copy, *shape)`. Subspaces and masks override this."""

    def weights(self, stored: Weights, step: int) -> Weights:  # noqa: ARG002
        """The weights that run at a step."""
        return stored

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """The gradient of the loss and of what regularises it; `gradients`, of what ran, may be changed in place."""
        return gradients

    def evaluated(self, stored: Weights) -> Weights:
        """The weights whose validation loss the curves show; buffers among them take the place of those in training."""
        return stored

    def variants(self, stored: Weights, buffers: Weights) -> dict[str, Outcome]:
        """What is left at the end, by variant; the first is what the bare arm stands for."""
        return {"last": Outcome({name: tensor.unsqueeze(1) for name, tensor in {**stored, **buffers}.items()})}

    def sweeps(self, stored: Weights, buffers: Weights) -> dict[str, Swept]:  # noqa: ARG002
        """Paths of networks to evaluate point by point, by name."""
        return {}

    def record(self, stored: Weights) -> dict[str, Any]:  # noqa: ARG002
        """Entries for the manifest's record: JSON, the same in every rerun."""
        return {}


class Averaging(Seam):
    """Nothing is kept. Stochastic weight averaging overrides this."""

    def rate(self, step: int, scheduled: float) -> float:  # noqa: ARG002
        """The learning rate of a step, where averaging asks for another than the schedule's."""
        return scheduled

    def observe(self, step: int, weights: Weights, buffers: Weights) -> None:
        """See the stored weights after the update of a step; they are overwritten by the next one."""

    def variants(self) -> dict[str, Outcome]:
        """What was kept, by variant; it comes before the last weights, since it is what the arm is for."""
        return {}
